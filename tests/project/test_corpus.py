"""Small projects with the shapes that real files of each era have, and how they fare; ``pytest -s`` prints the table.

``python -m tests.project.corpus FOLDER`` prints the same for a folder of real projects.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.corpus import ERROR, INCOMPLETE, LOADS, Row, refusals, table
from tests.support.projects import CLOUD, write

Files = dict[str, str]
BOOTC = "{kind: bootc, image: desk}"
DESK = "image: {desk: {ref: quay.io/fedora/fedora-bootc:42}}"

SHAPES: dict[str, tuple[Files, dict[str, str]]] = {
    "april: vms with a sidecar for a checksum, and a desktop": (
        {
            "vms.yml": f"""
vms:
  arch:
    source: {{kind: cloud_image, url: https://example.org/a.qcow2, checksum: {{value: ""}}, base_user: me}}
    disk_size: 20 GiB
    ram: 8G
    network: {{mode: user}}
    ssh: {{port: 2224, key_source: generate}}
    cloud_init: {{timezone: UTC, packages: [git], ov_install: {{strategy: skip}}}}
    libvirt:
      devices:
        channels: [{{type: spicevmc, name: com.redhat.spice.0}}]
        graphics: [{{type: spice, autoport: "yes", listen: 127.0.0.1}}]
        video: [{{model: qxl, vram: 65536, heads: 1}}]
        rng: [{{model: virtio, backend: /dev/urandom}}]
        memballoon: {{model: virtio}}
      snippets: ["<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"]
  big:
    source: {BOOTC}
""",
            "image.yml": DESK,
        },
        {"vms.yml": LOADS, "image.yml": LOADS},
    ),
    "april: layers with depends, rpm and tests": (
        {
            "vms.yml": f"vms: {{a: {{source: {CLOUD}}}}}",
            "layers/x/layer.yml": "depends: []\nrpm: {packages: [git]}\ndeb: {packages: [git]}\ntests: [{file: /x}]\n",
        },
        {"layers/x/layer.yml": LOADS},
    ),
    "may: vm.yml with templates and debootstrap": (
        {
            "vm.yml": """
version: 4
vm:
  deb:
    source: {kind: bootstrap, builder: debootstrap, builder_image: deb-builder, distro: debian, rootfs: ext4}
    disk_size: 20G
    machine: q35
    firmware: uefi-insecure
    libvirt:
      devices:
        channels: [{type: unix, name: org.qemu.guest_agent.0, path: '{{.VmStateDir}}/qga.sock'}]
        video: [{model: virtio, heads: 1, accel3d: false}]
""",
        },
        {"vm.yml": LOADS},
    ),
    "may: everything in overthink.yml and deploy.yml": (
        {
            "overthink.yml": "version: 4\nincludes: [deploy.yml, image.yml, vm.yml, k8s.yml, local.yml, eval.yml]\n"
            "discover: {layer: [{path: layers}]}\ndefaults: {}\nbuilders: {npm: {}}\ndistros: {x: {}}\ninits: {}\n",
            "eval.yml": "ai: {x: {}}\nrecipe: {y: {}}\nscore: {z: {}}\n",
            "image.yml": "version: 4\nimage:\n  built: {from: 'builder:pacstrap', bootstrap_builder_image: b}\n"
            "  far: {base: built, layers: ['@example.org/a/b/layers/c:main'], ports: ['1:1'], enabled: false}\n",
            "vm.yml": f"version: 4\nvm: {{c: {{source: {CLOUD}}}}}",
            "deploy.yml": f"version: 4\ndeploy:\n  a-vm: {{target: vm, vm: a, add_layers: [x], env: [A=b]}}\n"
            f"  p: {{target: pod, image: far}}\nvm:\n  a: {{source: {CLOUD}, disposable: true, lifecycle: dev}}\n",
            "layers/x/layer.yml": "layer: {name: x, distros: {fedora: {packages: [git]}}}\n",
        },
        {
            "overthink.yml": LOADS,
            "eval.yml": LOADS,
            "image.yml": LOADS,
            "vm.yml": LOADS,
            "deploy.yml": LOADS,
            "layers/x/layer.yml": LOADS,
        },
    ),
    "may: half a project": (
        {
            "overthink.yml": "includes: [vm.yml]\n",
            "deploy.yml": "deploy: {a-vm: {target: vm, vm: a}}\n",
            "layers/x/layer.yml": "layer: {requires: [gone]}\n",
        },
        {"overthink.yml": INCOMPLETE, "deploy.yml": INCOMPLETE, "layers/x/layer.yml": INCOMPLETE},
    ),
    "may: what is not made here": (
        {
            "vm.yml": f"vm:\n  a: {{source: {{kind: bootstrap, builder: pacstrap}}, disk_size: 2G}}\n"
            f"  b: {{source: {BOOTC}}}\n  c: {{source: {CLOUD}}}\n",
            "image.yml": "image: {desk: {from: 'builder:pacstrap'}}",
        },
        {"vm.yml": ERROR, "image.yml": LOADS},
    ),
    "singular: every name": (
        {
            "overthink.yml": "version: 2026.141.1530\ninclude: [eval.yml]\nbuilder: {x: {}}\ndistro: {}\ninit: {}\n",
            "deploy.yml": f"""
version: 2026.141.1530
deploy:
  a-vm: {{target: vm, vm: a, add_layer: [x], install_opt: {{allow_repo_change: true}}}}
vm:
  a:
    source: {CLOUD}
    cpu: 4
    network: {{port_forward: ["16443:6443", "auto:80"]}}
    cloud_init: {{package: [sudo], write_file: [{{path: /x}}]}}
    libvirt:
      feature: {{acpi: true}}
      device: {{channel: [{{type: spicevmc, name: com.redhat.spice.0}}], memballoon: {{model: virtio}}}}
k8s: {{x: {{image: ""}}}}
""",
            "layers/x/layer.yml": "layer: {require: [], distro: {fedora: {package: [git]}}, task: [], port: [80]}\n",
        },
        {"overthink.yml": LOADS, "deploy.yml": LOADS, "layers/x/layer.yml": LOADS},
    ),
    "may: pacstrap in a container of theirs": (
        {
            "vm.yml": """
version: 4
vm:
  arch:
    source: {kind: bootstrap, builder: pacstrap, builder_image: a-builder, distro: archlinux, rootfs: ext4}
    disk_size: 20G
    firmware: uefi-insecure
""",
        },
        {"vm.yml": LOADS},
    ),
    "a typo": (
        {"vms.yml": f"vms: {{a: {{source: {CLOUD}, dsk_size: 2G}}}}"},
        {"vms.yml": ERROR},
    ),
}


def test_every_shape_fares_as_it_should(tmp_path: Path) -> None:
    for shape, (files, _) in SHAPES.items():
        for name, text in files.items():
            write(tmp_path, text, f"{shape}/{name}")
    rows = table(tmp_path)
    print("\n" + "\n".join(map(str, rows)))
    found = {row.file: row for row in rows}
    for shape, (_, expected) in SHAPES.items():
        for name, outcome in expected.items():
            row: Row = found[f"{shape}/{name}"]
            assert row.outcome == outcome, row
    assert not any(row.outcome in {ERROR, INCOMPLETE} and not row.detail for row in rows)


def test_what_loads_is_planned_and_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that loads is not enough: its VMs have steps, and a machine for either backend."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found: list[str] = []
    for number, (files, expected) in enumerate(SHAPES.values()):
        if {*expected.values()} == {LOADS}:
            for name, text in files.items():
                write(tmp_path, text, f"{number}/{name}")
            found += refusals(tmp_path / str(number))
    assert not found, "\n".join(found)

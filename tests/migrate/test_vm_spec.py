"""``ov migrate vm-spec``: what an image says about a VM becomes a VM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ovtasks.errors import InputError
from ovtasks.project.load import check, load_project
from ovtasks.values.yamlio import parse_yaml
from tests.migrate.projects import make, result, settled
from tests.support.projects import errors_of

IMAGE = """\
# ours
images:
    desktop:      # the big one
        ref: quay.io/fedora/fedora-bootc:42
        bootc: true
        # as large as the laptop's
        vm:
            disk_size: "40 GiB"   # room
            ram: 8G
            cpus: 4
            rootfs: xfs
            kernel_args: console=ttyS0
            network: user
            ssh_port: 2250
        libvirt:
            - |
              <watchdog model='itco'/>
        # behind
        pull: missing
"""
VMS = """\
# Made by ov migrate vm-spec of what images said about VMs.
vms:
  desktop-bootc:
    source:
      kind: bootc
      image: desktop
      rootfs: xfs
      kernel_args: console=ttyS0
    disk_size: "40 GiB"   # room
    ram: 8G
    cpus: 4
    network:
      mode: user
    ssh:
      user: root
      port: 2250
    libvirt:
      snippets:
          - |
            <watchdog model='itco'/>
"""
REST = """\
# ours
images:
    desktop:      # the big one
        ref: quay.io/fedora/fedora-bootc:42
        bootc: true
        # behind
        pull: missing
"""


def test_fields_move_and_comments_stay(tmp_path: Path) -> None:
    make(tmp_path, {"image.yml": IMAGE, "overthink.yml": "# root\nincludes:\n  - image.yml   # images\n"})
    assert settled(tmp_path, "vm-spec") == {
        "vms.yml": VMS,
        "image.yml": REST,
        "overthink.yml": "# root\nincludes:\n  - image.yml   # images\n  - vms.yml\n",
    }
    vm = load_project(tmp_path, cache=False).vms["desktop-bootc"]
    assert (vm.cpus, vm.ssh.port, vm.disk_size) == (4, 2250, 40 << 30)


def test_loading_names_the_command(tmp_path: Path) -> None:
    make(tmp_path, {"overthink.yml": "name: x\n", "image.yml": IMAGE})
    hints = [error.hint for error in check((), tmp_path).errors]
    assert hints and all("`ov migrate vm-spec`" in (hint or "") for hint in hints)


def test_name_with_suffix_is_kept_and_entries_are_appended(tmp_path: Path) -> None:
    old = "vms:\n    a:  # mine\n        source: {kind: bootstrap}\n        disk_size: 2G\n# end\n"
    make(
        tmp_path,
        {"vms.yml": old, "image.yml": "image:\n  x-bootc: {ref: quay.io/a/b:1, vm: {ram: 2G}, pull: missing}\n"},
    )
    assert settled(tmp_path, "vm-spec") == {
        "vms.yml": old.replace(
            "# end", "    x-bootc:\n      source:\n        kind: bootc\n        image: x-bootc\n      ram: 2G\n# end"
        ),
        "image.yml": "image:\n  x-bootc: {ref: quay.io/a/b:1, pull: missing}\n",
    }


def test_bootc_alone_is_todays_format_unless_asked_for(tmp_path: Path) -> None:
    text = "images: {base: {ref: r, bootc: true}, used: {ref: r, bootc: true}, lone: {base: base, bootc: true}}\n"
    make(tmp_path, {"vms.yml": "vms:\n  u: {source: {kind: bootc, image: used}, disk_size: 20G}\n", "image.yml": text})
    assert result(tmp_path) == {}
    assert list(settled(tmp_path, "vm-spec")) == ["vms.yml"]
    assert "lone-bootc:" in (tmp_path / "vms.yml").read_text()


def test_bridge_and_deployments(tmp_path: Path) -> None:
    image = "images:\n  web:\n    ref: r\n    vm:\n      network: br0\n"
    deploy = "deploy:\n  vm:web/dev: {add_layers: []}\n  b: {target: vm, vm: web}\n  c: {target: pod, image: web}\n"
    make(tmp_path, {"vms.yml": "vms:\n", "image.yml": image, "deploy.yml": deploy})
    found = settled(tmp_path, "vm-spec")
    assert "    network:\n      mode: bridge\n      bridge: br0\n" in found["vms.yml"]
    assert found["image.yml"] == "images:\n  web:\n    ref: r\n"
    assert found["deploy.yml"] == deploy.replace("vm:web/", "vm:web-bootc/").replace("vm: web}", "vm: web-bootc}")


@pytest.mark.parametrize(
    ("vm", "message", "line"),
    [
        ("vms: {web-bootc: {source: {kind: bootc, image: web}, ram: 2G}}", "another ram", 4),
        ("vms: {}\n", "", 0),
        ("vms: {a: {source: {kind: bootstrap}}}", "in braces", 1),
    ],
)
def test_collisions(tmp_path: Path, vm: str, message: str, line: int) -> None:
    make(tmp_path, {"vms.yml": vm, "image.yml": "images:\n  web:\n    ref: r\n    vm: {ram: 4G}\n"})
    if not message:
        assert "web-bootc" in result(tmp_path, "vm-spec")["vms.yml"]
        return
    with pytest.raises(InputError) as caught:
        result(tmp_path, "vm-spec")
    assert message in caught.value.message and caught.value.where and caught.value.where.line == line


def test_a_vm_that_says_the_same_stays(tmp_path: Path) -> None:
    vm = "vms: {web-bootc: {source: {kind: bootc, image: web}, ram: 4G, cpus: 2}}"
    make(tmp_path, {"vms.yml": vm, "image.yml": "images:\n  web:\n    ref: r\n    vm: {ram: 4G}\n"})
    assert settled(tmp_path, "vm-spec") == {"image.yml": "images:\n  web:\n    ref: r\n"}


@pytest.mark.parametrize(
    ("field", "message", "column"),
    [
        ("{flavour: x}", "'flavour' does not belong in a VM", 10),
        ("{ram: &r 4G}", "an anchor or alias cannot", 15),
        ("big", "must be a mapping", 9),
        ("{ssh: {port: 1}, ssh_port: 2}", "mean the same", 26),
    ],
)
def test_what_cannot_move_is_told_at_its_place(tmp_path: Path, field: str, message: str, column: int) -> None:
    make(tmp_path, {"vms.yml": "vms:\n", "image.yml": f"images:\n  web:\n    ref: r\n    vm: {field}\n"})
    with pytest.raises(InputError) as caught:
        result(tmp_path, "vm-spec")
    where = caught.value.where
    assert message in caught.value.message and where and (where.line, where.column) == (4, column)


def test_flags_of_a_vm_name_the_command(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, "vms: {a: {source: {kind: bootstrap}, disk_size: 2G, disposable: true}}")
    assert "`ov migrate deploy-schema-v-3`" in (error.hint or "")


@pytest.mark.parametrize(
    ("written", "content"),
    [
        ("|+\n              x\n\n\n", "x\n\n\n"),
        (">+\n              x\n              y\n\n", "x y\n\n"),
        ("|\n              x\n\n", "x\n"),
    ],
)
def test_a_text_keeps_the_empty_lines_that_are_its_own(tmp_path: Path, written: str, content: str) -> None:
    image = f"""\
images:
  a:
    bootc: true
    vm:
      cloud_init:
        write_files:
          - path: /a
            content: {written}      ram: 1G
    base: x:1
"""
    make(tmp_path, {"image.yml": image})
    settled(tmp_path, "vm-spec")
    (document,) = parse_yaml((tmp_path / "vms.yml").read_bytes(), "vms.yml")
    assert isinstance(document.data, dict)
    vm: Any = document.data["vms"]
    assert vm["a-bootc"]["cloud_init"]["write_files"][0]["content"] == content
    assert vm["a-bootc"]["ram"] == "1G"
    (rest,) = parse_yaml((tmp_path / "image.yml").read_bytes(), "image.yml")
    assert rest.data == {"images": {"a": {"bootc": True, "base": "x:1"}}}


@pytest.mark.parametrize("field", ["vm", "libvirt"])
def test_what_an_alias_repeats_is_to_be_written_out(tmp_path: Path, field: str) -> None:
    value = {"vm": "{ram: 8G}", "libvirt": "['<hub/>']"}[field]
    make(tmp_path, {"image.yml": f"x: &v {value}\nimages:\n  a: {{bootc: true, base: 'x:1', {field}: *v}}\n"})
    with pytest.raises(InputError, match="an anchor or alias cannot") as caught:
        result(tmp_path, "vm-spec")
    assert str(caught.value.where).endswith("image.yml:3:" + str(35 + len(field)))

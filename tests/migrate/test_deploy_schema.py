"""``ov migrate deploy-schema-v-3``: deployments of versions 1 and 2, and flags of VMs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.project.load import load_project
from tests.migrate.projects import make, result, settled
from tests.support.projects import errors_of

KIND = "deploy-schema-v-3"
VMS = "vms:\n  web: {source: {kind: bootstrap}, disk_size: 2G}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "images:   # all\n  vm:web:\n    add_layers: []  # none\n",
            "version: 3\ndeploy:   # all\n  web-vm:\n    target: vm\n    vm: web\n    add_layers: []  # none\n",
        ),
        (
            "version: 2\ndeployments:\n  images:\n    # one\n    'vm:web/dev':\n        target: vm\n        vm: web\n\n"
            "    box: {target: container, image: x}\n# end\n",
            "version: 3\ndeploy:\n  # one\n  'web-vm/dev':\n      target: vm\n      vm: web\n\n"
            "  box: {target: pod, image: x}\n# end\n",
        ),
        (
            "version: 4\ndeployments: {images: {host: {}, a-k8s: {x: 1}, b: {kubernetes: {}}, c: {image: x}}}\n",
            "version: 4\ndeploy: {host: {target: host}, a-k8s: {target: k8s, x: 1}, "
            "b: {target: k8s, kubernetes: {}}, c: {target: pod, image: x}}\n",
        ),
        (
            "version: 2026.141.1530\ndeploy:\n  vm:web:\n  d: {target: kubernetes}\n",
            "version: 2026.141.1530\ndeploy:\n  web-vm: {target: vm, vm: web}\n  d: {target: k8s}\n",
        ),
        (
            "version: 3\ndeploy:\n  a: {target: vm, vm_source: web, nested: {vm:web: {target: vm, vm: web}}}\n"
            "  b: {target: pod, parent: vm:web.inner}\n",
            "version: 3\ndeploy:\n  a: {target: vm, vm: web, nested: {web-vm: {target: vm, vm: web}}}\n"
            "  b: {target: pod, parent: web-vm.inner}\n",
        ),
        ("deploy:\n  a: {target: vm, vm: web}\n", None),
        ("deploy:\r\n  vm:web: {target: vm}\r\n", "version: 3\r\ndeploy:\r\n  web-vm: {vm: web, target: vm}\r\n"),
    ],
)
def test_result(tmp_path: Path, old: str, new: str | None) -> None:
    make(tmp_path, {"vms.yml": VMS, "deploy.yml": old})
    assert settled(tmp_path, KIND) == ({"deploy.yml": new} if new else {})


def test_flags_move_into_the_entry_of_the_vm(tmp_path: Path) -> None:
    vms = "vms:\n  web:\n    # may go\n    disposable: true  # yes\n    lifecycle: dev\n    disk_size: 2G\n"
    vms += "    source: {kind: bootstrap}\n  db: {lifecycle: prod, disk_size: 2G, source: {kind: bootstrap}}\n"
    make(tmp_path, {"vms.yml": vms, "deploy.yml": "version: 4\ndeploy:\n  w: {target: vm, vm: web, lifecycle: dev}\n"})
    assert settled(tmp_path, KIND) == {
        "vms.yml": "vms:\n  web:\n    disk_size: 2G\n    source: {kind: bootstrap}\n"
        "  db: {disk_size: 2G, source: {kind: bootstrap}}\n",
        "deploy.yml": "version: 4\ndeploy:\n  w: {disposable: true, target: vm, vm: web, lifecycle: dev}\n"
        "  db-vm:\n    target: vm\n    vm: db\n    lifecycle: prod\n",
    }
    found = load_project(tmp_path, cache=False).deployments
    assert found["w"].disposable and found["db-vm"].lifecycle == "prod"


def test_flags_make_a_new_file(tmp_path: Path) -> None:
    make(tmp_path, {"vms.yml": "vms:\n  web: {disposable: true, source: {kind: bootstrap}, disk_size: 2G}\n"})
    found = settled(tmp_path, KIND)
    assert found["deploy.yml"].endswith(
        "version: 3\ndeploy:\n  web-vm:\n    target: vm\n    vm: web\n    disposable: true\n"
    )


@pytest.mark.parametrize(
    ("deploy", "message", "line", "column"),
    [
        ("deploy:\n  vm:web: {}\n  web-vm: {}\n", "'vm:web' becomes 'web-vm', which is there already", 2, 3),
        ("deploy: {}\nimages: {a: {}}\n", "'images' and 'deploy' mean the same", 2, 1),
        ("deployments:\n  a: {}\n  images:\n    a: {}\n", "'a' appears twice", 4, 5),
        ("deploy:\n  a: {vm: web, vm_source: db}\n", "'vm_source' and 'vm' mean the same", 2, 16),
        ("deploy:\n  a: [1]\n", "deployment 'a' is not a mapping", 2, 6),
        ("deploy:\n  a: &x {add_layers: []}\n  b: *x\n", "'b' repeats another entry", 3, 6),
        ("deploy:\n  w: {target: vm, vm: web, disposable: false}\n", "VM 'web' has disposable: true", 2, 51),
        ("deploy:\n  web-vm: {target: vm, vm: db}\n", "'web-vm' would be the deployment of 'web'", 2, 3),
    ],
)
def test_collisions(tmp_path: Path, deploy: str, message: str, line: int, column: int) -> None:
    flags = "VM 'web' has" in message or "would be" in message
    vms = VMS.replace("2G", "2G, disposable: true") if flags else VMS
    make(tmp_path, {"vms.yml": vms, "deploy.yml": deploy})
    with pytest.raises(InputError) as caught:
        result(tmp_path, KIND)
    where = caught.value.where
    assert message in caught.value.message and where and (where.line, where.column) == (line, column)


def test_loading_names_the_command(tmp_path: Path) -> None:
    make(tmp_path, {"vms.yml": VMS})
    errors = errors_of(tmp_path, "images: {vm:web: {}}\n", "deploy.yml")
    assert any(f"`ov migrate {KIND}`" in (error.hint or "") for error in errors)

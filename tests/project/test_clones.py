"""Clones: what they have from the VM that they begin with, and deployments that make one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputErrors
from ovtasks.project.load import check, load_project
from ovtasks.project.model import CloneSource
from ovtasks.values.firmware import Firmware
from ovtasks.values.sizes import GiB
from tests.support.projects import write

VMS = """vms:
  web:
    source: {kind: cloud_image, url: "https://e.org/x.qcow2", base_user: debian, distro: debian}
    ram: 3G
    cpus: 3
    machine: q35
    firmware: uefi-insecure
    ssh: {key_source: generate, port: 2222}
    libvirt: {features: {acpi: true}}
    cloud_init: {packages: [git]}
  twin: {source: {kind: clone, from_vm: web, from_snapshot: s}, cpus: 1}
  third: {source: {kind: clone, from_vm: twin/dev, from_snapshot: s}, firmware: bios}
"""


def test_a_clone_is_the_same_machine(tmp_path: Path) -> None:
    write(tmp_path, VMS)
    for cache in (False, True, True):
        found = load_project(tmp_path, cache=cache).vms
        twin, third = found["twin"], found["third"]
        assert (twin.ram, twin.cpus, twin.machine, twin.firmware) == (3 * GiB, 1, "q35", Firmware.UEFI_INSECURE)
        assert (twin.ssh.user, twin.ssh.key_source, twin.ssh.port) == ("debian", "generate", None)
        assert twin.cloud_init is None and not twin.libvirt
        assert (third.cpus, third.firmware, third.ssh.user) == (1, Firmware.BIOS, "debian")


@pytest.mark.parametrize(
    ("source", "user", "firmware"),
    [
        ("{kind: bootc, image: quay.io/a/b:1}", "root", "bios"),
        ("{kind: bootc, image: quay.io/a/b:1, bootloader: systemd}", "root", "uefi-insecure"),
        ("{kind: bootstrap, bootstrap_arch: arm64}", None, "uefi-insecure"),
        ("{kind: imported, libvirt_name: x, disk_path: /d, disk_format: raw}", None, "bios"),
    ],
)
def test_defaults_of_the_other_s_source_count(tmp_path: Path, source: str, user: str | None, firmware: str) -> None:
    clone = "  twin: {source: {kind: clone, from_vm: web, from_snapshot: s}}\n"
    write(tmp_path, f"vms:\n  web: {{source: {source}, disk_size: 20G}}\n{clone}")
    twin = load_project(tmp_path, cache=False).vms["twin"]
    assert (twin.ssh.user, twin.firmware) == (user, firmware)


def test_a_mistake_spoils_the_clones(tmp_path: Path) -> None:
    write(tmp_path, VMS.replace("cpus: 3", "cpsu: 3") + "  other: {source: {kind: bootstrap}, disk_size: 2G}\n")
    project = load_project(tmp_path, cache=False, tolerant=True)
    assert {*project.wrong} == {"web", "twin", "third"} and [*project.vms] == ["other"]


def test_deployments_that_begin_with_a_snapshot(tmp_path: Path) -> None:
    deploy = """deploy:
  ci: {target: vm, from: "web:ready", ephemeral: true}
  vm:web/dev: {from_snapshot: ready, cloud_init_clean: true}
  test-vm: {target: vm, vm: web, from_snapshot: old, cpus: 7}
"""
    write(tmp_path, VMS)
    write(tmp_path, deploy, "deploy.yml")
    project = load_project(tmp_path, cache=False)
    found = {name: (one.vm, one.instance) for name, one in project.deployments.items()}
    ephemeral = found.pop("ci")
    assert ephemeral[0] == "ci" and str(ephemeral[1]).startswith("eph-")
    assert found == {"vm:web/dev": ("web-dev", None), "test-vm": ("test", None)}
    sources = [project.vms[name].source for name in ("ci", "web-dev", "test")]
    assert all(isinstance(one, CloneSource) for one in sources)
    said = [(one.fields["from_vm"], one.fields["from_snapshot"], one.fields.get("cloud_init_clean")) for one in sources]
    assert said == [("web", "ready", None), ("web", "ready", True), ("web", "old", None)]
    assert project.vms["ci"].ssh.user == "debian" and project.vms["test"].placement(None).cpus == 7


@pytest.mark.parametrize(
    ("entry", "message", "hint", "line", "column"),
    [
        ("bad: {target: vm, from_snapshot: x}", "does not say of which VM", "vm: names the VM", 2, 36),
        ("bad: {target: vm, from: 'web:x', vm: twin}", "vm twin contradicts from: web:x", "keep one", 2, 40),
        ("bad: {target: vm, from: 'web:x', from_snapshot: y}", "from_snapshot y contradicts", "keep one", 2, 51),
        ("twin: {target: vm, from: 'web:x'}", "'twin' is declared already", "rename the deployment", 2, 3),
        ("vm:web: {from_snapshot: x}", "'web' is declared already", "rename the deployment", 2, 3),
        ("bad: {target: vm, from: web}", "from", None, 2, 27),
        ("bad: {target: vm, from: 'nobody:x'}", "no VM 'nobody' is declared", None, 2, 8),
    ],
)
def test_mistakes(tmp_path: Path, entry: str, message: str, hint: str | None, line: int, column: int) -> None:
    write(tmp_path, VMS)
    write(tmp_path, f"deploy:\n  {entry}\n", "deploy.yml")
    (error, *_) = check((), tmp_path).errors
    assert message in error.message and (hint is None or hint in (error.hint or ""))
    assert error.where is not None and (error.where.line, error.where.column) == (line, column)
    with pytest.raises(InputErrors):
        load_project(tmp_path, cache=False)

"""Settings ``vm.*`` stand for what a VM's entry does not say, also when the project comes from its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputErrors
from ovtasks.host import settings
from ovtasks.project.load import load_project
from ovtasks.project.model import BootcSource, BootstrapSource, VmSpec
from ovtasks.values.sizes import GiB
from tests.support.projects import CLOUD, write

BOOTC = "{kind: bootc, image: quay.io/a/b:1}"


def load(root: Path, name: str) -> VmSpec:
    return load_project(root).vms[name]


def test_settings_fill_what_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        f"vms:\n  silent: {{source: {CLOUD}}}\n  said: {{source: {CLOUD}, ram: 1G, cpus: 1, disk_size: 9G}}\n"
        f"  c: {{source: {BOOTC}}}\n",
    )
    before = load(tmp_path, "silent")
    assert (before.ram, before.cpus, before.disk_size) == (4 * GiB, 2, None)
    assert load(tmp_path, "c").disk_size == 10 * GiB
    for name, value in (("ram", "3G"), ("cpus", "5"), ("disk_size", "30G"), ("root_size", "12G"), ("rootfs", "xfs")):
        settings.put(f"vm.{name}", value)
    monkeypatch.setenv("OV_VM_CPUS", "7")
    monkeypatch.setenv("OV_VM_TRANSPORT", "containers-storage")
    silent, said = load(tmp_path, "silent"), load(tmp_path, "said")
    assert (silent.ram, silent.cpus, silent.disk_size) == (3 * GiB, 7, 30 * GiB)
    assert (said.ram, said.cpus, said.disk_size) == (GiB, 1, 9 * GiB)
    assert silent.declared == before.declared
    bootc = load(tmp_path, "c")
    assert isinstance(bootc.source, BootcSource)
    assert (bootc.source.rootfs, bootc.source.transport, bootc.disk_size) == ("xfs", "containers-storage", 30 * GiB)
    assert bootc.source.root_size == 12 * GiB
    settings.reset()
    assert load(tmp_path, "silent").ram == 4 * GiB


def test_a_size_may_come_from_the_settings_alone(tmp_path: Path) -> None:
    write(tmp_path, "vms: {a: {source: {kind: bootstrap, distro: debian}}}")
    with pytest.raises(InputErrors, match="'disk_size' is missing"):
        load(tmp_path, "a")
    settings.put("vm.disk_size", "20G")
    settings.put("vm.rootfs", "btrfs")
    made = load(tmp_path, "a")
    assert made.disk_size == 20 * GiB and isinstance(made.source, BootstrapSource) and made.source.rootfs == "btrfs"
    settings.reset("vm.disk_size")
    with pytest.raises(InputErrors, match="'disk_size' is missing"):
        load(tmp_path, "a")


def test_a_root_partition_does_not_fit_on_the_disk_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the file, before any build; with disk_size in the entry the setting has no say."""
    vm = "{source: {kind: bootc, image: 'quay.io/example/os:1', root_size: 12G}%s}"
    write(tmp_path, f"vms: {{a: {vm % ''}}}")
    with pytest.raises(InputErrors, match="root_size 12G is more than disk_size 10G"):
        load(tmp_path, "a")
    settings.put("vm.disk_size", "20G")
    assert load(tmp_path, "a").disk_size == 20 * GiB
    settings.put("vm.disk_size", "11G")
    with pytest.raises(InputErrors, match=r"root_size 12G is more than vm\.disk_size 11G \(.*settings\.yml") as caught:
        load(tmp_path, "a")
    (error,) = caught.value.errors
    assert error.where is not None and error.hint == "write disk_size in the entry, or leave root_size out"
    monkeypatch.setenv("OV_VM_DISK_SIZE", "16G")
    assert load(tmp_path, "a").disk_size == 16 * GiB
    monkeypatch.setenv("OV_VM_DISK_SIZE", "8G")
    with pytest.raises(InputErrors, match=r"is more than vm\.disk_size 8G \(OV_VM_DISK_SIZE\)"):
        load(tmp_path, "a")
    write(tmp_path, f"vms: {{a: {vm % ', disk_size: 13G'}}}")
    assert load(tmp_path, "a").disk_size == 13 * GiB

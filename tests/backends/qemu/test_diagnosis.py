"""What keeps a machine from starting is said in words, and nothing is left of the attempt."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import VmState
from ovtasks.backends.qemu.diagnosis import diagnose
from ovtasks.errors import InputError, OvError
from ovtasks.host.run import run
from ovtasks.machine.machine import Boot, Nic
from ovtasks.values.firmware import Firmware
from ovtasks.values.ports import PortForward
from tests.backends.qemu.conftest import Vm
from tests.support.machines import MAC, OVMF, machine
from tests.support.processes import left


def failing(vm: Vm, **more: Any) -> OvError:
    """The error of a start, after which nothing runs and nothing lies around."""
    with pytest.raises(OvError) as caught:
        vm.start(**more)
    assert vm.status().state in {VmState.STOPPED, VmState.UNDEFINED} and vm.status().note is None
    assert left(vm.handle.directory) == []
    assert not vm.handle.sockets.exists() or list(vm.handle.sockets.iterdir()) == []
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_port_taken(protocol: str, vm: Vm) -> None:
    with socket.socket(type=socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            other.listen()
        port = other.getsockname()[1]
        error = failing(vm, nic=Nic(MAC, forwards=(PortForward(port, 22, protocol),)))
    assert f"port {port} ({protocol}) of 127.0.0.1 is taken by " in error.message
    assert f"(pid {os.getpid()})" in error.message


def test_files_missing(vm: Vm) -> None:
    folder = vm.handle.directory
    boot = Boot(Firmware.UEFI_INSECURE, code=folder / "code.fd", nvram=folder / "nvram.fd")
    cases: list[tuple[str, Mapping[str, Any]]] = [
        ("the seed of ov-web is missing", {"seed": folder / "seed.iso"}),
        ("the firmware of ov-web is missing", {"boot": boot}),
        ("the variables file of ov-web is missing", {"boot": replace(boot, code=OVMF / "OVMF_CODE_4M.fd")}),
        ("the credential x of ov-web is missing", {"credentials": {"x": folder / "x"}}),
        ("the disk of ov-web is missing", {"disk": folder / "none.qcow2"}),
    ]
    plain = vm.machine
    for message, more in cases:
        vm.machine = plain
        assert message in failing(vm, **more).message


def test_disks_backing_file_missing(vm: Vm) -> None:
    folder = vm.handle.directory
    shutil.copy(folder / "disk.qcow2", folder / "built")
    (folder / "disk.qcow2").unlink()
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "built", "disk.qcow2"], cwd=folder)
    vm.start()
    vm.backend.power_off(vm.handle)
    (folder / "built").unlink()
    assert "built is missing" in failing(vm).message


def test_disk_that_is_none(vm: Vm) -> None:
    vm.machine.disk.write_bytes(b"not a disk")
    assert "not in qcow2 format" in failing(vm).message


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"machine": "pc-q35-1.0"}, "machine: "),
        ({"cpus": 5000}, "cpus: "),
        ({"libvirt": {"cpu": {"mode": "custom", "model": "z80"}}}, "libvirt.cpu.model: "),
    ],
)
def test_what_the_spec_should_not_ask_for(more: Mapping[str, Any], field: str, vm: Vm) -> None:
    error = failing(vm, **more)
    assert isinstance(error, InputError) and error.message.startswith(field)


def test_more_memory_than_there_is(vm: Vm) -> None:
    assert "the host has no " in failing(vm, ram=1 << 46).message


def test_no_such_bridge(vm: Vm) -> None:
    error = failing(vm, nic=Nic(MAC, mode="bridge", bridge="nosuchbridge"))
    assert "nosuchbridge" in error.message
    with pytest.raises(InputError, match="nosuchbridge does not exist"):
        vm.backend.define(vm.handle, vm.machine)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Could not access KVM kernel module: Permission denied", "KVM"),
        ("qemu-system-x86_64: failed to initialize kvm: Permission denied", "KVM"),
        ("access denied by acl file", "may not use the bridge br0"),
        ("failed to parse default acl file `/etc/qemu/bridge.conf'", "may not use the bridge br0"),
        ("qemu: could not load PC BIOS 'bios-256k.bin'", "BIOS is not installed"),
        ("Could not open '/x/disk.qcow2': Permission denied", "/x/disk.qcow2 cannot be opened: permission denied"),
        ("module block-block-curl not found, do you want to install it?", "cannot speak http"),
        ("audio: Could not init `oss' audio driver", "libvirt.devices.audio: audio: Could not init"),
        ("invalid object type: cryptodev-backend-lkcf", "libvirt.devices: invalid object type"),
        ("mlock: Cannot allocate memory\nlocking memory failed", "libvirt.memory_backing.locked: mlock"),
        (
            "qemu: can't open backing store /dev/shm for guest RAM: Permission denied",
            "memory into /dev/shm: permission",
        ),
        ("something new", "QEMU ended with status 1"),
    ],
)
def test_words_that_are_not_heard_here(said: str, message: str) -> None:
    error = diagnose(said, machine(nic=Nic(MAC, mode="bridge")), 1, Path("/d/qemu.log"))
    assert message in error.message and error.hint


def test_killed_by_its_own_sandbox() -> None:
    error = diagnose("", machine(), -31, Path("/d/qemu.log"))
    assert error.message == "QEMU was killed by signal 31" and error.hint == "its output is in /d/qemu.log"

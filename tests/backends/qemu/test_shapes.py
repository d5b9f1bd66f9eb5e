"""Every shape of the command line is taken by the QEMU that is installed: it makes the machine and answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ovtasks.backends.contract import VmState
from ovtasks.backends.qemu.program import features
from ovtasks.backends.qemu.qmp import connect
from ovtasks.errors import InputError
from ovtasks.machine.qemu.names import QMP_SOCKET
from ovtasks.values.jsonvalue import Json
from tests.backends.qemu.conftest import Vm
from tests.support.machines import shapes
from tests.support.qemu import free_port

SHAPES = [
    *("plain", "forwards", "e1000", "i440fx", "seed", "credentials", "both", "files", "files-secure", "instance"),
]
GRAPHICS: dict[str, Json] = {
    "devices": {
        "graphics": [{"type": "spice"}, {"type": "vnc"}],
        "video": [{"model": "virtio", "vram": 65536, "heads": 1, "accel3d": False}, {"model": "qxl", "ram": 65536}],
        "channels": [{"type": "spicevmc"}, {"type": "unix", "name": "org.example.0"}],
    }
}
DEVICES: dict[str, Json] = {
    "features": {"vmport": False, "smm": True, "acpi": True},
    "cpu": {"mode": "custom", "model": "qemu64"},
    "devices": {
        "rng": [{"backend": "builtin"}, {"backend": "/dev/random", "rate": {"bytes": 1024, "period": 1000}}],
        "memballoon": {"model": "virtio", "autodeflate": True, "stats": {"period": 10}},
        "graphics": [{"type": "vnc", "listen": "127.0.0.1"}],
        "video": [{"model": "vga", "vram": 16384}],
    },
}


def prepare(vm: Vm, name: str) -> None:
    """The shape's machine in the VM's folder, with all files that it names."""
    folder = vm.handle.directory
    shape = shapes(folder)[name]
    nic = replace(shape.nic, forwards=tuple(replace(f, host=free_port()) for f in shape.nic.forwards))
    own = vm.machine
    vm.machine = replace(shape, domain=own.domain, uuid=own.uuid, sockets=own.sockets, ram=own.ram, nic=nic)
    (folder / "seed.iso").write_bytes(bytes(4096))
    for path in vm.machine.credentials.values():
        path.write_text("secret", encoding="utf-8")
    if shape.boot.template is not None and shape.boot.nvram is not None:
        shutil.copyfile(shape.boot.template, shape.boot.nvram)


@pytest.mark.parametrize("name", SHAPES)
def test_qemu_takes_it(name: str, vm: Vm) -> None:
    prepare(vm, name)
    vm.start()
    assert vm.status().state is VmState.RUNNING


@pytest.mark.parametrize("libvirt", [GRAPHICS, DEVICES], ids=["graphics", "devices"])
def test_qemu_takes_what_the_spec_declares_for_libvirt(libvirt: Mapping[str, Json], vm: Vm) -> None:
    vm.start(libvirt=libvirt)
    assert vm.status().state is VmState.RUNNING


@pytest.mark.parametrize("model", ["virtio", "vga", "cirrus", "qxl", "bochs", "ramfb", "none"])
def test_video(model: str, vm: Vm) -> None:
    vm.start(libvirt={"devices": {"video": [{"model": model}]}})


def test_the_seed_is_a_disk_that_is_read_only(vm: Vm) -> None:
    prepare(vm, "seed")
    pid = vm.start()
    with connect(vm.handle.sockets / QMP_SOCKET, pid) as qmp:
        answer = qmp.execute("query-named-block-nodes")
    assert isinstance(answer, list)
    nodes = {node["node-name"]: node for node in answer if isinstance(node, dict)}
    assert (nodes["disk"]["ro"], nodes["seed"]["ro"]) == (False, True)
    assert nodes["seed"]["file"] == str(vm.handle.directory / "seed.iso")


def test_what_this_qemu_says_of_itself() -> None:
    found = features("x86_64")
    assert found.version >= (6, 2)
    assert found.user_network and found.sandbox and "virtio-blk-pci" in found.devices


def test_an_architecture_without_qemu() -> None:
    with pytest.raises(Exception, match="qemu-system-pdp11 is not installed"):
        features("pdp11")


def test_spice_that_is_not_installed(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    from ovtasks.backends.qemu import program

    without = replace(features("x86_64"), spice=False)
    monkeypatch.setattr(program, "features", lambda arch: without)
    with pytest.raises(InputError, match="has no SPICE") as caught:
        vm.backend.render(replace(vm.machine, libvirt={"devices": {"graphics": [{"type": "spice"}]}}))
    assert "type: vnc" in (caught.value.hint or "")

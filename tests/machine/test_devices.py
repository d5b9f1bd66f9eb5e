"""One file a device: what else of the program knows it by name, and how large the files are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ovtasks.machine.device import Device
from ovtasks.machine.devices import DEVICES

PACKAGE = Path(__file__).parents[2] / "ovtasks"
FILES = {
    node.names[0].name: node.module.rpartition(".")[2]
    for node in ast.parse((PACKAGE / "machine/devices/__init__.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ovtasks.machine.devices.")
}
MOST = 3
LINES = 250
HOMONYMS = {
    "audio": "a field of sound cards and displays",
    "channels": "QEMU's identifier of the bus that they hang on",
    "console": "ov vm console, and the guest's first serial port",
    "disks": "what the guest's agent lists, and an element of libvirt's snapshots",
    "graphics": "what ov eval libvirt info shows",
    "inputs": "a step's inputs",
    "interfaces": "of cloud-init's network configuration",
    "memory": "the VM's own, ram:",
    "parallel": "QEMU's word for a character device of the host",
    "serial": "a disk's serial number; QEMU's word for a character device of the host",
    "usb": "a bus that disks, pointers and sound cards hang on",
    "vsock": "the host's sockets, which the VM's own address needs",
}
"""Keys of devices that mean something else, too: there, only imports of the device's file count."""


@cache
def words(path: Path) -> frozenset[str]:
    """The texts of a module's code, and the devices' files that it imports, as ``import tpm``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return frozenset(_words(tree, prose))


def _words(tree: ast.AST, prose: set[int]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ovtasks.machine.devices."):
            yield f"import {str(node.module).split('.')[3]}"


def file_of(device: Device) -> str:
    """The name of its file or folder."""
    import ovtasks.machine.devices

    return next(file for name, file in FILES.items() if getattr(ovtasks.machine.devices, name) is device)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_few_modules_name_a_device(device: Device) -> None:
    """Its own, their list, and what asks for it by its key or imports it."""
    file = file_of(device)
    wanted = {f"import {file}"} | (set() if device.name in HOMONYMS else {device.name})
    own = PACKAGE / "machine/devices" / file
    others = [
        p for p in PACKAGE.rglob("*.py") if p.with_suffix("") != own and own not in p.parents and words(p) & wanted
    ]
    assert len(others) <= MOST, [str(path.relative_to(PACKAGE)) for path in others]


def test_every_device_is_listed() -> None:
    there = {path.stem for path in (PACKAGE / "machine/devices").iterdir()} - {"__init__", "__pycache__"}
    assert there == {file_of(device) for device in DEVICES}
    assert len({device.name for device in DEVICES}) == len(DEVICES)


def test_files_of_devices_are_short() -> None:
    paths = sorted((PACKAGE / "machine/devices").rglob("*.py"))
    assert not {p.name: n for p in paths if (n := len(p.read_text(encoding="utf-8").splitlines())) > LINES}
    assert not {"others", "people"} & {path.stem for path in PACKAGE.rglob("*.py")}

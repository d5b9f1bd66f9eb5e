"""Small real machines: a few MiB, and a disk that boots at once into a program of a few bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import Handle, VmStatus
from ovtasks.backends.qemu import Qemu
from ovtasks.host.run import run
from ovtasks.machine.machine import Machine, Nic
from tests.support import leftovers
from tests.support.machines import MAC, machine
from tests.support.processes import left

HELLO = b"boot sector\r\n"
# 16-bit code at 0x7c00: says HELLO on the first serial port, then echoes what it gets; at 'q' it switches itself off
# (ACPI's PM1 control register as a q35 has it).
SECTOR = bytes.fromhex(
    "31c0 8ed8 be307c baf803"  # ds = 0, si = the text, dx = data register
    "ac 08c0 7403 ee ebf8"  # each byte until zero
    "bafd03 ec a801 7503 f4 ebf8"  # wait for "data ready", halted between interrupts
    "baf803 ec ee 3c71 75ec"  # read, write; not q: once more
    "ba0406 b80020 ef f4 ebfd"  # S5
)


@dataclass
class Vm:
    """A machine in a folder of its own, and the backend."""

    machine: Machine
    handle: Handle
    backend: Qemu

    def start(self, **more: Any) -> int:
        """Start it, changed by ``more``; returns QEMU's process id."""
        self.machine = replace(self.machine, **more)
        self.backend.start(self.handle, self.machine)
        pid = self.status().pid
        assert pid is not None
        return pid

    def status(self) -> VmStatus:
        return self.backend.states([self.handle])[self.handle.domain]


def make_disk(path: Path) -> None:
    raw = path.with_suffix(".raw")
    sector = (SECTOR + HELLO).ljust(510, b"\0") + b"\x55\xaa"
    raw.write_bytes(sector.ljust(1 << 20, b"\0"))
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path])
    raw.unlink()


def make_vm(folder: Path, name: str = "ov-web") -> Vm:
    folder.mkdir(mode=0o700, parents=True)
    make_disk(folder / "disk.qcow2")
    sockets = Path(tempfile.mkdtemp(prefix="ov-test-", dir="/tmp"))  # short enough, whoever runs the tests
    leftovers.note("folder", sockets)
    made = machine(folder, domain=name, sockets=sockets, ram=32 << 20, cpus=1, nic=Nic(MAC))
    return Vm(made, Handle(name, made.uuid, folder, sockets), Qemu())


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    made = make_vm(tmp_path / "a, b")
    yield made
    made.backend.power_off(made.handle)
    made.backend.undefine(made.handle)
    made.handle.sockets.rmdir()  # it is empty
    assert left(tmp_path) == []

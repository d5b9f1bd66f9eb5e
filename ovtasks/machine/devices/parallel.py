"""Parallel ports."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.characters import distinct_ports, host_end, numbered, port_rows, sockets
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Field
from ovtasks.machine.kinds import NUMBER
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

ROWS = port_rows(
    "parallel",
    "Parallel ports.",
    {"port": Field(NUMBER, "@port", "Its number; default: counted.")},
    ("pty", "tcp", "udp", "file", "unix", "dev", "null"),
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        yield from host_end(one)
    yield from distinct_ports(found, {})


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return numbered(found, 0)


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        if not to.pc:
            raise block.refuse("type", f"{to.machine.arch} has no parallel port")
        ident = chardev(block, f"parallel{index}", to)
        number = block.block("target").number("port")
        to.device("isa-parallel", id=f"{ident}-device", chardev=ident, index=index if number is None else number)


PARALLEL = Device("parallel", ROWS, _rules, _complete, qemu=_words, sockets=sockets)

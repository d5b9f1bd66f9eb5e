"""virtio consoles, besides the serial one."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ovtasks.machine.characters import host_end, numbered, port_rows, sockets
from ovtasks.machine.device import Device, Site
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Field
from ovtasks.machine.kinds import POSITIVE, one_of
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import sub

ROWS = port_rows(
    "console",
    "Consoles in addition to the first one.",
    {
        "type": Field(one_of("virtio", "sclp", "sclplm"), "@type", "The hardware.", default="virtio"),
        "port": Field(POSITIVE, "@port", "Its number, from 1; default: counted.", qemu="never"),
    },
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for index, one in enumerate(found, 1):
        yield from host_end(one)
        number = one.block("target").number("port")
        if number is not None and number != index:
            problem = f"is {number}, but consoles are counted: it is {index}"
            yield one.fault(problem, "leave it out", "target", "port")


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return numbered(found, 1)


def _own(devices: ET.Element, _: Site) -> None:
    sub(sub(devices, "console", {"type": "pty"}), "target", {"type": "serial", "port": "0"})


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """virtio consoles, besides the serial one."""
    for index, block in enumerate(blocks, 1):
        target = block.block("target")
        kind = target.text("type") or "virtio"
        if kind != "virtio":
            raise target.refuse("type", f"a console on {kind} is not a device of its own", hint="type: virtio")
        ident = chardev(block, f"console{index}", to)
        to.device("virtconsole", id=f"{ident}-device", chardev=ident)


CONSOLE = Device("console", ROWS, _rules, _complete, own=_own, qemu=_words, sockets=sockets)

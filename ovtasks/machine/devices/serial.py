"""Serial ports in addition to the first one, which is the console."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ovtasks.machine.characters import distinct_ports, host_end, numbered, port_rows, sockets
from ovtasks.machine.device import Device, Site
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Field
from ovtasks.machine.kinds import POSITIVE, one_of
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import sub

ISA_PORTS = 4

ROWS = port_rows(
    "serial",
    "Serial ports in addition to the first one, which is the console.",
    {
        "type": Field(
            one_of("isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial", "system-serial", "isa-debug"),
            "@type",
            "The hardware.",
        ),
        "port": Field(POSITIVE, "@port", "Its number, from 1: port 0 is the first one; default: counted."),
    },
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        yield from host_end(one)
    yield from distinct_ports(found, {0: "the VM's own console"})


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return numbered(found, 1)


def _own(devices: ET.Element, site: Site) -> None:
    serial = sub(devices, "serial", {"type": "pty"})
    sub(serial, "log", {"file": str(site.machine.serial_log), "append": "on"})
    sub(serial, "target", {"port": "0"})


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """Serial ports in addition to the first one, which is the console."""
    used = {0}
    for index, block in enumerate(blocks, 1):
        target = block.block("target")
        model = target.text("type") or ("isa-serial" if to.pc else "pci-serial")
        ident = chardev(block, f"serial{index}", to)
        if model == "isa-serial":
            if not to.pc:
                raise target.refuse("type", f"{to.machine.arch} has no ISA", hint="type: pci-serial")
            number = target.number("port")
            number = next(n for n in range(1, len(used) + 2) if n not in used) if number is None else number
            if number in used or number >= ISA_PORTS:
                what = "is there already" if number in used else "is more than a PC has"
                key = "port" if "port" in target else "type"
                raise target.refuse(key, f"serial port {number} {what}", hint="type: pci-serial or usb-serial")
            used.add(number)
            to.device("isa-serial", id=f"{ident}-device", chardev=ident, index=number)
        elif model == "pci-serial":
            to.device("pci-serial", id=f"{ident}-device", chardev=ident)
        elif model == "usb-serial":
            to.device("usb-serial", id=f"{ident}-device", chardev=ident, bus=to.usb_bus())
        elif model == "isa-debug" and to.pc:
            to.device("isa-debugcon", id=f"{ident}-device", chardev=ident, iobase="0x402")
        else:
            raise target.refuse("type", f"{to.machine.arch} has no {model}")


SERIAL = Device("serial", ROWS, _rules, _complete, own=_own, qemu=_words, sockets=sockets, same=("target@port",))

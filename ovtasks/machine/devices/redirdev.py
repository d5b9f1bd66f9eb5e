"""USB devices that come from the person who looks at the VM."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.characters import PROTOCOL, host_end, sockets, source_rows
from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import POSITIVE, one_of
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

ROWS = Items(
    Block(
        "redirdev",
        "USB devices of the viewer.",
        {
            "bus": Field(one_of("usb"), "@bus", "Always usb.", default="usb"),
            "type": Field(one_of("spicevmc", "tcp", "unix"), "@type", "How they connect.", default="spicevmc"),
            "source": source_rows("spicevmc", "tcp", "unix"),
            "protocol": PROTOCOL,
            "boot": Field(POSITIVE, "boot@order", "Its place in the boot order."),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        yield from host_end(one)


def _through_spice(one: Tree) -> str | None:
    kind = one.peek("type") or "spicevmc"
    return kind if kind == "spicevmc" else None


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.text("bus")
        ident = chardev(block, f"redir{index}", to, default="spicevmc", spice="usbredir")
        order = to.order(block.number("boot"))
        to.device("usb-redir", id=f"{ident}-device", chardev=ident, bus=to.usb_bus(), bootindex=order)


REDIRDEV = Device("redirdev", ROWS, _rules, qemu=_words, sockets=sockets, spice=_through_spice)

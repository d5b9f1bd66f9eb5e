"""USB controllers."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import NUMBER, number, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

_USB = {
    "qemu-xhci": "qemu-xhci",
    "nec-xhci": "nec-usb-xhci",
    "piix3-uhci": "piix3-usb-uhci",
    "piix4-uhci": "piix4-usb-uhci",
    "ehci": "usb-ehci",
    "ich9-ehci1": "ich9-usb-ehci1",
    "ich9-uhci1": "ich9-usb-uhci1",
    "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3",
    "vt82c686b-uhci": "vt82c686b-usb-uhci",
    "pci-ohci": "pci-ohci",
}

ROWS = Items(
    Block(
        "controller",
        "USB controllers.",
        {
            "index": Field(NUMBER, "@index", "Its number; default: counted."),
            "model": Field(
                one_of(
                    *("qemu-xhci", "nec-xhci", "piix3-uhci", "piix4-uhci", "ehci", "ich9-ehci1", "ich9-uhci1"),
                    *("ich9-uhci2", "ich9-uhci3", "vt82c686b-uhci", "pci-ohci", "none"),
                ),
                "@model",
                "The device.",
            ),
            "ports": Field(number(1, 15), "@ports", "Ports of an xHCI.", only={"model": ("qemu-xhci", "nec-xhci")}),
        },
        fixed={"type": "usb"},
    )
)


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """USB controllers; the first one gets the devices."""
    for index, block in enumerate(blocks):
        block.text("index")
        if block.peek("model") == "none":
            raise block.refuse("model", "a VM has USB only where something needs it", hint="remove it")
        model = block.one_of("model", _USB, "qemu-xhci") or "qemu-xhci"
        ports = {"p2": block.text("ports"), "p3": block.peek("ports")} if "xhci" in model else {}
        to.usb = True
        to.device(model, id=f"usb{index}", **ports)


USB = Device("usb", ROWS, qemu=_words)

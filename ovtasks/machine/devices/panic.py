"""Panic devices: through them a guest tells that its kernel died."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import one_of, text
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

ROWS = Items(
    Block(
        "panic",
        "A device for reports of kernel panics.",
        {
            "model": Field(
                one_of("isa", "pseries", "hyperv", "s390", "pvpanic"),
                "@model",
                "The device.",
                since_values={"pvpanic": (9, 1)},
            ),
            "address": Block(
                "address",
                "Where (model isa).",
                {
                    "type": Field(one_of("isa"), "@type", "Always isa.", default="isa"),
                    "iobase": Field(
                        text(
                            r"^0x[0-9a-fA-F]{1,4}$",
                            "an I/O port such as 0x505",
                            "is not an I/O port",
                            ("0x505",),
                            ("5", ""),
                        ),
                        "@iobase",
                        "The I/O port.",
                        required=True,
                    ),
                },
                only={"model": ("isa",)},
            ),
        },
    )
)


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        model = block.text("model") or ("isa" if to.pc else "pvpanic")
        if model == "isa" and to.pc:
            address = block.block("address")
            address.text("type")
            to.device("pvpanic", id=f"panic{index}", ioport=address.text("iobase"))
        elif model == "pvpanic":
            to.device("pvpanic-pci", id=f"panic{index}")
        elif model == "hyperv" and to.pc:
            if not to.kvm:
                raise block.refuse("model", "hyperv needs KVM", hint="model: isa")
            to.cpu["hv-crash"] = "on"
        else:
            raise block.refuse("model", f"{to.machine.arch} has no {model}")


PANIC = Device("panic", ROWS, qemu=_words)

"""USB hubs."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

ROWS = Items(Block("hub", "Hubs.", {"type": Field(one_of("usb"), "@type", "Always usb.", required=True)}))


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.text("type")
        to.device("usb-hub", id=f"hub{index}", bus=to.usb_bus())


HUB = Device("hub", ROWS, qemu=_words)

"""The balloon by which a guest gives memory back."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine import virtio
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field
from ovtasks.machine.kinds import ON_OFF, POSITIVE, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import ROOT, Tree

ROWS = Block(
    "memballoon",
    "The balloon that takes memory back.",
    {
        "model": Field(one_of(*virtio.MODELS, "none"), "@model", "The device, or none.", default="virtio"),
        "autodeflate": Field(
            ON_OFF, "@autodeflate", "Give memory back before the guest kills programs.", only={"model": virtio.MODELS}
        ),
        "free_page_reporting": Field(
            ON_OFF, "@freePageReporting", "The guest says which pages are free.", only={"model": virtio.MODELS}
        ),
        "stats": Block(
            "stats",
            "Statistics.",
            {"period": Field(POSITIVE, "@period", "The interval in seconds.", required=True)},
            only={"model": virtio.MODELS},
        ),
        "driver": Block("driver", "Options of virtio.", virtio.options(), only={"model": virtio.MODELS}),
    },
)


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return [(found[0] if found else Tree({}, (*ROOT, "devices", "memballoon"))).over(model="virtio")]


def _balloon(block: Tree, to: Command) -> None:
    model = block.text("model")
    keys = {"autodeflate": "deflate-on-oom", "free_page_reporting": "free-page-reporting"}
    more: dict[str, object] = {ours: block.text(theirs) for theirs, ours in keys.items()}
    more["guest-stats-polling-interval"] = block.block("stats").text("period")
    more |= virtio.properties(block.block("driver"))
    used = any(value is not None for value in more.values())
    if model in virtio.SUFFIXES or (model is None and used):
        suffix = virtio.SUFFIXES[model or "virtio"]
        to.device(f"virtio-balloon-pci{suffix}", id="balloon0", **more)
    elif used:
        key = next((key for key in ("autodeflate", "free_page_reporting") if key in block), "model")
        raise block.refuse(key, "it needs model: virtio")


def _words(found: Sequence[Tree], to: Command) -> None:
    for one in found:
        _balloon(one, to)


MEMBALLOON = Device("memballoon", ROWS, complete=_complete, qemu=_words)

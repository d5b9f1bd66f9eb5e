"""Sound cards."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import AUDIO_ID, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

_SOUND = {
    "ac97": ("AC97", False),
    "es1370": ("ES1370", False),
    "sb16": ("sb16", False),
    "ich6": ("intel-hda", True),
    "ich9": ("ich9-intel-hda", True),
    "usb": ("usb-audio", False),
    "virtio": ("virtio-sound-pci", False),
}
"""Model → QEMU's device, and whether it has codecs."""

ROWS = Items(
    Block(
        "sound",
        "Sound cards.",
        {
            "model": Field(
                one_of("ac97", "ich6", "ich7", "ich9", "usb", "virtio", "es1370"),
                "@model",
                "The card.",
                required=True,
                since_values={"virtio": (10, 4)},
            ),
            "codecs": Items(
                Block(
                    "codec",
                    "Its codecs.",
                    {"type": Field(one_of("duplex", "micro", "output"), "@type", "What it can do.", required=True)},
                    only={"model": ("ich6", "ich7", "ich9")},
                )
            ),
            "audio": Field(AUDIO_ID, "audio@id", "The audio backend (id of audio) that it plays on."),
        },
    )
)


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """Sound cards. One that names no backend plays on the first; if there are none, it stays silent."""
    outputs = to.sounds
    for index, block in enumerate(blocks):
        name = block.text("model") or ""
        if name not in _SOUND:
            raise block.refuse("model", f"the backend qemu has no {name}, but {', '.join(_SOUND)}")
        if name == "sb16" and not to.pc:
            raise block.refuse("model", f"{to.machine.arch} has no ISA", hint="model: usb")
        model, codecs = _SOUND[name]
        wanted = block.text("audio")
        if wanted is not None and wanted not in outputs:
            raise block.refuse("audio", f"there is no audio backend {wanted}", hint="audio: [{id: 1, type: none}]")
        if wanted is None and not outputs:
            outputs["none"] = "audio-none"
            to.add("audiodev", "none", id="audio-none")
        output = outputs[wanted] if wanted is not None else next(iter(outputs.values()))
        ident = f"sound{index}"
        if not codecs:
            bus = {"bus": to.usb_bus()} if model == "usb-audio" else {}
            to.device(model, id=ident, audiodev=output, **bus)
            continue
        to.device(model, id=ident)
        kinds = [item.text("type") or "duplex" for item in block.items("codecs")] or ["duplex"]
        for number, kind in enumerate(kinds):
            to.device(f"hda-{kind}", id=f"{ident}-codec{number}", bus=f"{ident}.0", cad=number, audiodev=output)


SOUND = Device("sound", ROWS, qemu=_words)

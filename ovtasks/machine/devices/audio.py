"""Where sound goes on the host."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import AUDIO_ID, PATH, POSITIVE, TEXT, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

AUDIO_TYPES = ("none", "spice", "oss", "pulseaudio", "alsa", "coreaudio", "file", "jack", "sdl", "dbus", "pipewire")

_AUDIO = {
    "none": "none",
    "spice": "spice",
    "oss": "oss",
    "pulseaudio": "pa",
    "alsa": "alsa",
    "file": "wav",
    "jack": "jack",
    "pipewire": "pipewire",
    "dbus": "dbus",
    "sdl": "sdl",
    "coreaudio": "coreaudio",
}

ROWS = Items(
    Block(
        "audio",
        "Where sound goes on the host.",
        {
            "id": Field(AUDIO_ID, "@id", "Its number, which sound and graphics name; default: counted from 1."),
            "type": Field(
                one_of(*AUDIO_TYPES, other={"pulse": "pulseaudio"}),
                "@type",
                "How it is played.",
                default="none",
                since_values={"pipewire": (9, 8)},
            ),
            "timer_period": Field(POSITIVE, "@timerPeriod", "Period of its timer in µs."),
            "server_name": Field(TEXT, "@serverName", "The sound server.", only={"type": ("pulseaudio", "pulse")}),
            "path": Field(PATH, "@path", "A WAV file.", only={"type": ("file",)}),
            "driver": Field(
                one_of("esd", "alsa", "arts", "pulseaudio"),
                "@driver",
                "SDL's driver.",
                only={"type": ("sdl",)},
                qemu="never",
            ),
        },
    )
)


def _rules(found: Sequence[Tree], block: Tree) -> Faults:
    """Each backend has a number of its own, and devices name only backends that exist."""
    seen: set[int] = set()
    for one, ident in zip(found, _numbers([one.number("id") for one in found]), strict=True):
        if ident in seen:
            yield one.fault(f": audio backend {ident} appears twice", "another number", "id")
        seen.add(ident)
        if one.text("type") == "file" and not one.has("path"):
            yield one.fault("is missing: type file needs it", "path: ${vm.dir}/sound.wav", "path")
    for user in _users(block.block("devices")):
        wanted = user.number("audio")
        if wanted is not None and wanted not in seen:
            problem = f"is {wanted}, but there is no such audio backend"
            yield user.fault(problem, "audio: [{id: 1, type: none}]", "audio")


def _users(devices: Tree) -> list[Tree]:
    """All devices that may name a backend."""
    return [one for name in devices.value for one in devices.items(name) if "audio" in one]


def _numbers(written: list[int | None]) -> list[int]:
    """The numbers as written; those that are missing become the lowest free ones."""
    free = (number for number in count(1) if number not in written)
    return [number if number is not None else next(free) for number in written]


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    numbers = _numbers([one.number("id") for one in found])
    return [one.over(id=str(number)) for one, number in zip(found, numbers, strict=True)]


def _through_spice(one: Tree) -> str | None:
    return "spice" if one.peek("type") == "spice" else None


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks, 1):
        ident = block.text("id") or str(index)
        driver = block.one_of("type", _AUDIO, "none") or "none"
        if ident in to.sounds:
            raise block.refuse("id", f"there are two audio backends {ident}")
        if driver == "coreaudio":
            raise block.refuse("type", "coreaudio is of macOS")
        more = {"timer-period": block.text("timer_period")}
        if driver == "pa":
            more["server"] = block.text("server_name")
        if driver == "wav":
            more["path"] = block.text("path") or f"{to.machine.serial_log.parent}/audio{ident}.wav"
        to.sounds[ident] = f"audio{ident}"
        to.add("audiodev", driver, id=to.sounds[ident], **more)


AUDIO = Device("audio", ROWS, _rules, _complete, qemu=_words, spice=_through_spice, same=("@id",))

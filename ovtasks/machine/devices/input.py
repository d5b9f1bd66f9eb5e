"""Keyboards and pointers."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items, Only
from ovtasks.machine.kinds import ON_OFF, PATH, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

_INPUTS = {"tablet": "tablet", "mouse": "mouse", "keyboard": "kbd"}
_EVDEV: Only = {"type": ("evdev",)}

ROWS = Items(
    Block(
        "input",
        "Keyboards and pointers.",
        {
            "type": Field(
                one_of("tablet", "mouse", "keyboard", "passthrough", "evdev"), "@type", "What it is.", required=True
            ),
            "bus": Field(
                one_of("ps2", "usb", "virtio"),
                "@bus",
                "What it is connected to.",
                only={"type": ("tablet", "mouse", "keyboard", "passthrough")},
            ),
            "model": Field(one_of("virtio"), "@model", "The model of a virtio device.", only={"bus": ("virtio",)}),
            "source": Block(
                "source",
                "The host's device.",
                {
                    "evdev": Field(PATH, "@evdev", "Path, with type passthrough.", only={"type": ("passthrough",)}),
                    "dev": Field(PATH, "@dev", "Path, with type evdev.", only=_EVDEV),
                    "grab": Field(one_of("all"), "@grab", "Grab all devices at once.", only=_EVDEV),
                    "grab_toggle": Field(
                        one_of(*("ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock")),
                        "@grabToggle",
                        "The keys that switch between host and guest.",
                        only=_EVDEV,
                    ),
                    "repeat": Field(ON_OFF, "@repeat", "Keys repeat.", only=_EVDEV),
                },
            ),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        for kind, key in (("passthrough", "evdev"), ("evdev", "dev")):
            if one.text("type") == kind and not one.block("source").has(key):
                yield one.fault(f"is missing: type {kind} needs it", f"source: {{{key}: /dev/input/…}}", "source", key)
        if one.text("type") == "tablet" and one.text("bus") == "ps2":
            yield one.fault("is ps2, which has no tablets", "bus: usb or virtio", "bus")
        if one.text("type") == "passthrough" and one.text("bus") not in {None, "virtio"}:
            yield one.fault("must be virtio with type passthrough", "bus: virtio", "bus")


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        kind, source, ident = block.text("type") or "", block.block("source"), f"input{index}"
        if kind == "evdev":
            toggle = source.text("grab_toggle")
            grab = "on" if source.text("grab") == "all" else None
            more = {"grab_all": grab, "repeat": source.text("repeat"), "grab-toggle": toggle}
            to.add("object", "input-linux", id=ident, evdev=source.text("dev"), **more)
        elif kind == "passthrough":
            if (bus := block.text("bus") or "virtio") != "virtio":
                raise block.refuse("bus", f"a device of the host comes by virtio, not by {bus}", hint="bus: virtio")
            _model(block, "virtio")
            to.device("virtio-input-host-pci", id=ident, evdev=source.text("evdev"))
        else:
            _input(block, kind, ident, to)


def _model(block: Tree, bus: str) -> None:
    """Take ``model``: for a virtio device, QEMU knows only ``virtio``."""
    if bus == "virtio" and (model := block.text("model")) not in {None, "virtio"}:
        raise block.refuse("model", f"the backend qemu has no {model}")


def _input(block: Tree, kind: str, ident: str, to: Command) -> None:
    bus = block.text("bus") or ("usb" if kind == "tablet" or not to.pc else "ps2")
    _model(block, bus)
    if bus == "virtio":
        to.device(f"virtio-{kind}-pci", id=ident)
    elif bus == "usb":
        to.device(f"usb-{_INPUTS[kind]}", id=ident, bus=to.usb_bus())
    elif not to.pc or kind == "tablet":
        raise block.refuse("bus", f"there is no {kind} on ps2 here", hint="bus: usb, or bus: virtio")


INPUT = Device("inputs", ROWS, _rules, qemu=_words)

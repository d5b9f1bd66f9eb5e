"""``devices.audio``, ``sound``, ``inputs``, ``usb``, ``hub``, ``controllers``: what people hear, press and plug."""

from __future__ import annotations

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.command import Command

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
_SOUND = {
    "ac97": ("AC97", False),
    "es1370": ("ES1370", False),
    "sb16": ("sb16", False),
    "ich6": ("intel-hda", True),
    "ich9": ("ich9-intel-hda", True),
    "usb": ("usb-audio", False),
    "virtio": ("virtio-sound-pci", False),
}
"""QEMU's device, and whether codecs hang on it."""
_INPUTS = {"tablet": "tablet", "mouse": "mouse", "keyboard": "kbd"}
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


def audio(blocks: list[Block], to: Command) -> dict[str, str]:
    """Where sound goes on the host; returns QEMU's ids by libvirt's, in their order."""
    found: dict[str, str] = {}
    for index, block in enumerate(blocks, 1):
        ident = block.take("id") or str(index)
        driver = block.one_of("type", _AUDIO, "none") or "none"
        if ident in found:
            raise block.refuse("id", f"there are two audio backends {ident}")
        if driver == "coreaudio":
            raise block.refuse("type", "coreaudio is of macOS")
        more = {"timer-period": block.take("timer_period")}
        if driver == "pa":
            more["server"] = block.take("server_name")
        if driver == "wav":
            more["path"] = block.take("path") or f"{to.machine.serial_log.parent}/audio{ident}.wav"
        found[ident] = f"audio{ident}"
        to.add("audiodev", driver, id=found[ident], **more)
    return found


def sound(blocks: list[Block], outputs: dict[str, str], to: Command) -> None:
    """Sound cards; one that names no backend plays on the first, and without any on none."""
    for index, block in enumerate(blocks):
        name = block.take("model") or ""
        if name not in _SOUND:
            raise block.refuse("model", f"the backend qemu has no {name}, but {', '.join(_SOUND)}")
        if name == "sb16" and not to.pc:
            raise block.refuse("model", f"{to.machine.arch} has no ISA", hint="model: usb")
        model, codecs = _SOUND[name]
        wanted = block.take("audio")
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
        kinds = [item.take("type") or "duplex" for item in block.blocks("codecs")] or ["duplex"]
        for number, kind in enumerate(kinds):
            to.device(f"hda-{kind}", id=f"{ident}-codec{number}", bus=f"{ident}.0", cad=number, audiodev=output)


def inputs(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        kind, source, ident = block.take("type") or "", block.block("source"), f"input{index}"
        if kind == "evdev":
            toggle = source.take("grab_toggle")
            grab = "on" if source.take("grab") == "all" else None
            more = {"grab_all": grab, "repeat": source.take("repeat"), "grab-toggle": toggle}
            to.add("object", "input-linux", id=ident, evdev=source.take("dev"), **more)
        elif kind == "passthrough":
            if (bus := block.take("bus") or "virtio") != "virtio":
                raise block.refuse("bus", f"a device of the host comes by virtio, not by {bus}", hint="bus: virtio")
            _model(block, "virtio")
            to.device("virtio-input-host-pci", id=ident, evdev=source.take("evdev"))
        else:
            _input(block, kind, ident, to)


def _model(block: Block, bus: str) -> None:
    """A virtio device of QEMU's is a transitional one where it can be."""
    if bus == "virtio" and (model := block.take("model")) not in {None, "virtio"}:
        raise block.refuse("model", f"the backend qemu has no {model}")


def _input(block: Block, kind: str, ident: str, to: Command) -> None:
    bus = block.take("bus") or ("usb" if kind == "tablet" or not to.pc else "ps2")
    _model(block, bus)
    if bus == "virtio":
        to.device(f"virtio-{kind}-pci", id=ident)
    elif bus == "usb":
        to.device(f"usb-{_INPUTS[kind]}", id=ident, bus=to.usb_bus())
    elif not to.pc or kind == "tablet":
        raise block.refuse("bus", f"there is no {kind} on ps2 here", hint="bus: usb, or bus: virtio")
    # a PC's keyboard and mouse are part of it


def usb(blocks: list[Block], to: Command) -> None:
    """Controllers; the first one gets the USB devices."""
    for index, block in enumerate(blocks):
        block.take("index")
        if block.peek("model") == "none":
            raise block.refuse("model", "a VM has USB only where something needs it", hint="remove it")
        model = block.one_of("model", _USB, "qemu-xhci") or "qemu-xhci"
        ports = {"p2": block.take("ports"), "p3": block.peek("ports")} if "xhci" in model else {}
        to.usb = True
        to.device(model, id=f"usb{index}", **ports)


def hubs(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.take("type")
        to.device("usb-hub", id=f"hub{index}", bus=to.usb_bus())

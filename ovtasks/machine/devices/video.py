"""Video cards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items, Only
from ovtasks.machine.host import HostFeatures, unknown_word
from ovtasks.machine.kinds import POSITIVE, YES_NO, number, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

FRAMEBUFFER = one_of(*(str(1 << exponent) for exponent in range(10, 20)))  # QEMU wants a power of two, in whole MiB
QXL: Only = {"model": ("qxl",)}

ROWS = Items(
    Block(
        "video",
        "Video cards.",
        {
            "model": Field(
                one_of("virtio", "vga", "cirrus", "qxl", "bochs", "ramfb", "none"),
                "model@type",
                "The card.",
                required=True,
            ),
            "ram": Field(POSITIVE, "model@ram", "Its primary memory in KiB.", only=QXL),
            "vram": Field(POSITIVE, "model@vram", "Its memory in KiB."),
            "vram64": Field(number(1024), "model@vram64", "Its secondary memory in KiB.", only=QXL),
            "vgamem": Field(FRAMEBUFFER, "model@vgamem", "Its VGA framebuffer in KiB.", only=QXL),
            "heads": Field(POSITIVE, "model@heads", "Screens."),
            "primary": Field(YES_NO, "model@primary", "The one that the firmware uses; default: the first."),
            "accel3d": Field(YES_NO, "model/acceleration@accel3d", "3D acceleration."),
            "resolution": Block(
                "model/resolution",
                "The first resolution.",
                {
                    "x": Field(POSITIVE, "@x", "Width.", required=True),
                    "y": Field(POSITIVE, "@y", "Height.", required=True),
                },
            ),
        },
    )
)

_VGA = {"virtio": "virtio-vga", "vga": "VGA", "cirrus": "cirrus-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}
_DISPLAYS = {**_VGA, "ramfb": "ramfb"}

# libvirt's attribute (KiB, or a count) → the property of QEMU's device and the factor to its unit.
_VIDEO_SIZES = {
    ("virtio", "heads"): ("max_outputs", 1, 1),
    ("vga", "vram"): ("vgamem_mb", 1, 1024),
    ("cirrus", "vram"): ("vgamem_mb", 1, 1024),
    ("bochs", "vram"): ("vgamem", 1024, 1),
    ("qxl", "heads"): ("max_outputs", 1, 1),
    ("qxl", "ram"): ("ram_size", 1024, 1),
    ("qxl", "vram"): ("vram_size", 1024, 1),
    ("qxl", "vram64"): ("vram64_size_mb", 1, 1024),
    ("qxl", "vgamem"): ("vgamem_mb", 1, 1024),
}

_RESOLUTION = frozenset({"virtio", "vga", "bochs", "qxl"})


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    """At most one card is primary; model none stands alone."""
    primary = [card for card in found if card.switch("primary")]
    for card in primary[1:]:
        yield card.fault("is yes a second time", "only one card can be the primary one", "primary")
    for card in found:
        if card.text("model") == "none" and len(found) > 1:
            yield card.fault("is none, but there are other cards", "remove it", "model")


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    for one in found:
        name = one.text("model") or ""
        hint = package_hint(f"qemu-{name}") if name in {"qxl", "virtio"} else ""
        yield from unknown_word(name, host, "devices/video/modelType", (*one.place, "model"), "video card", hint)


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """The video cards. A display without one gets a virtio card."""
    for index, block in enumerate(blocks or ([Tree({"model": "virtio"})] if to.display else [])):
        model = block.text("model") or "virtio"
        for name in ("accel3d", "accel2d"):
            if block.text(name) == "yes":
                raise block.refuse(name, "the backend qemu has no acceleration")
        if block.text("primary") == ("no" if index == 0 else "yes"):
            raise block.refuse("primary", "the first card is the primary one")
        if model == "none":
            continue
        if model == "virtio":
            block.text("vram")  # a virtio card has none, and libvirt passes none on
        sizes: dict[str, object] = {}
        for (name, key), (prop, factor, divisor) in _VIDEO_SIZES.items():
            if name == model and (number := block.number(key)) is not None:
                if number % divisor:
                    raise block.refuse(key, f"QEMU takes whole MiB: a multiple of {divisor}")
                sizes[prop] = number * factor // divisor
        if model in _RESOLUTION:
            resolution = block.block("resolution")
            sizes |= {"xres": resolution.text("x"), "yres": resolution.text("y")}
        if model not in _DISPLAYS:
            raise block.refuse("model", f"the backend qemu has no {model}")
        to.device(_card(model, index, to), id=f"video{index}", **sizes)


def _card(model: str, index: int, to: Command) -> str:
    """QEMU's device. Only the first card can be a VGA, and only PCs have one."""
    if model == "virtio" and (index > 0 or not to.pc):
        return "virtio-gpu-pci"
    if model == "vga" and index > 0:
        return "secondary-vga"
    if model == "qxl" and index > 0:
        return "qxl"
    return _DISPLAYS[model]


VIDEO = Device("video", ROWS, _rules, lacks=_lacks, qemu=_words)

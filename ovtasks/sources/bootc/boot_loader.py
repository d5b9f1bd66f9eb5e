"""Which boot loader an image gets, and whether as composefs: by the spec, the image, and what its bootc can. Pure.

Without ``--bootloader`` bootc takes GRUB where the image has bootupd, else systemd-boot; it installs systemd-boot, and
an image whose kernel is a UKI, as composefs only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovtasks.errors import InputError, Where
from ovtasks.images.boot import Bootable
from ovtasks.project.bootc_rules import wants_composefs
from ovtasks.sources.bootc.probe import Installer


@dataclass(frozen=True)
class BootLoader:
    """``name`` is said to bootc, None: nothing is. ``note`` for people: why nobody was asked."""

    name: str | None
    composefs: bool
    note: str | None = None


def explained(boot: Bootable, installed: str | None) -> Bootable:
    """With what bootc said of the boot loader that it ``installed`` (its ``Bootloader:`` line) as the reason why a
    firmware does not start the disk."""
    none = "bootc installed no boot loader"
    bios, uefi = {
        "systemd": ("bootc installed systemd-boot, which starts under UEFI only", boot.why_not_uefi),
        "none": (none, none),
    }.get(installed or "", (boot.why_not_bios, boot.why_not_uefi))
    return replace(
        boot,
        why_not_bios=bios if boot.bios is False else boot.why_not_bios,
        why_not_uefi=uefi if boot.uefi is False else boot.why_not_uefi,
    )


def choose(name: str | None, composefs: bool | None, installer: Installer, where: Where) -> BootLoader:
    """``name`` and ``composefs`` are the spec's, None: as the image wants it.

    :raises InputError: the bootc in the image cannot do that, and what it can.
    """
    if name is not None and "--bootloader" in installer.options and name not in (installer.loaders or {name}):
        hint = f"one of {', '.join(sorted(installer.loaders))}; or build the image from a newer base"
        message = f"source.bootloader: {installer.version} in this image does not know {name}"
        raise InputError(message, hint=hint, where=where)
    if composefs is False and installer.uki:
        hint = "source.composefs: auto, or an image with vmlinuz and initramfs.img"
        raise InputError("the image's kernel is a UKI, which bootc installs as composefs", hint=hint, where=where)
    sure = wants_composefs(name or installer.configured, composefs)
    if sure is not None:
        return BootLoader(name, sure)
    if "--composefs-backend" not in installer.options:
        return BootLoader(name, composefs=False)
    if installer.uki:
        return BootLoader(name, composefs=True, note="composefs, because the image's kernel is a UKI")
    if name is None and installer.configured is None and installer.systemd_boot and not installer.bootupd:
        chosen = "systemd" if "systemd" in installer.loaders or not installer.loaders else None
        return BootLoader(chosen, composefs=True, note="systemd-boot and composefs, because the image has no bootupd")
    return BootLoader(name, composefs=False)

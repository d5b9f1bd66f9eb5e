"""Chooses the boot loader of an image and whether it becomes composefs. Pure.

The spec, the image and the abilities of its bootc decide. Without ``--bootloader`` bootc takes GRUB if the image has
bootupd, else systemd-boot. With systemd-boot, or a kernel that is a UKI, bootc can install composefs only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovtasks.errors import InputError, Where
from ovtasks.images.boot import Bootable
from ovtasks.project.bootc_rules import wants_composefs
from ovtasks.sources.bootc.probe import Installer


@dataclass(frozen=True)
class BootLoader:
    """``name`` is the value of ``--bootloader``; None: the option is left out. ``note`` says what we chose, and why."""

    name: str | None
    composefs: bool
    note: str | None = None


def explained(boot: Bootable, installed: str | None) -> Bootable:
    """``boot`` with better reasons why a firmware does not start the disk.

    ``installed`` is the boot loader that bootc installed, by its ``Bootloader:`` line; None: not known.
    """
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
    """The boot loader for this image. ``name`` and ``composefs`` are the spec's; None: the image decides.

    :raises InputError: the bootc in the image cannot do what the spec asks for; the hint says what works.
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

"""The rules of ``source.kind: bootc``: what its boot loaders can do, and what fits on a disk that bootc partitions.

Layout: bootc's documentation, "bootc install to-disk"; the sizes are those of its source (1.1 to 1.16).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.values.arch import arch_of
from ovtasks.values.sizes import MIN_DISK, MiB, format_size, parse_size

_TABLE = 2 * MiB  # the partition tables at both ends, aligned
_BIOS_BOOT = MiB  # for GRUB's core image, on x86 only
_ESP, _ESP_COMPOSEFS = 512 * MiB, 1024 * MiB


def wants_composefs(bootloader: str | None, composefs: bool | None) -> bool | None:
    """Whether the system will be composefs, by the spec alone; None if the image decides."""
    if composefs is not None:
        return composefs
    return True if bootloader == "systemd" else False if bootloader == "none" else None


def before_root(composefs: bool | None) -> int:
    """Bytes of the disk before the root file system. For ``composefs`` None the least that it can be."""
    bios = _BIOS_BOOT if arch_of(platform.machine()).bios else 0
    return _TABLE + bios + (_ESP_COMPOSEFS if composefs else _ESP)


def misfit(disk: int, root: int | None, composefs: bool | None) -> tuple[str, str] | None:
    """Why a root file system of ``root`` bytes (None: the rest) does not fit on a disk of that size, and what would.

    None if it fits.
    """
    taken = before_root(composefs)
    most = (disk - taken) // MiB * MiB
    if most < MIN_DISK:
        need = format_size(-(-(taken + MIN_DISK) // MiB) * MiB)
        return f"a disk of {format_size(disk)} is too small for bootc", f"at least {need}, and room for the image"
    if root is not None and root > most:
        esp = " and its EFI system partition of 1G" if composefs else ""
        return (
            f"a root file system of {format_size(root)} does not fit on a disk of {format_size(disk)}",
            f"at most {format_size(most)}: bootc's other partitions{esp} take {format_size(taken)}; "
            "or leave it out: the rest of the disk is taken",
        )
    return None


def bootc_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Every contradiction in the fields of a bootc VM, at its place."""
    if vm.text("source", "kind") != "bootc":
        return
    yield from _loader_rules(vm)
    composefs = vm.get("source", "composefs")
    wanted = wants_composefs(vm.text("source", "bootloader"), composefs if isinstance(composefs, bool) else None)
    disk, root = _bytes(vm, "disk_size"), _bytes(vm, "source", "root_size")
    if disk is None or (root or 0) > disk:  # another rule reports that
        return
    if found := misfit(disk, root, wanted):
        path = ("source", "root_size") if root is not None else ("disk_size",)
        if disk >= MIN_DISK and (root is None or root >= MIN_DISK):
            yield vm.error(f"{'.'.join(path)}: {found[0]}", *path, hint=found[1])


def _loader_rules(vm: DeclaredVm) -> Iterator[InputError]:
    loader, composefs = vm.text("source", "bootloader"), vm.get("source", "composefs")
    path = ("source", "composefs")
    if loader == "systemd" and composefs is False:
        hint = "remove composefs: false, or bootloader: grub (the image needs bootupd)"
        yield vm.error("bootc installs systemd-boot with composefs only", *path, hint=hint)
    if loader == "none" and composefs is True:
        hint = "bootloader: systemd or grub; or composefs: false"
        yield vm.error("bootc installs composefs with a boot loader only", *path, hint=hint)
    if loader == "systemd" and vm.text("firmware") == "bios":
        hint = "firmware: uefi-insecure, or bootloader: grub"
        yield vm.error("systemd-boot does not start under firmware bios", "firmware", hint=hint)


def _bytes(vm: DeclaredVm, *path: str) -> int | None:
    value = vm.get(*path)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return parse_size(value, bare=MiB)
    except InputError:
        return None

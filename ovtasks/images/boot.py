"""Tells which firmware can start a raw disk, by looking where the firmware looks.

A BIOS runs the code in the first sector; GRUB's there loads its core image from a fixed sector (GRUB manual, "BIOS
installation"). UEFI without variables of its own runs ``EFI/BOOT/BOOT<arch>.EFI`` from a FAT file system (UEFI
specification, "Removable Media Boot Behavior"; PE/COFF). A disk may have a partition for either that is empty.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ovtasks.images.fat import Fat, FatEntry, NotFatError
from ovtasks.images.partitions import EXTENDED, SECTOR, Partition, partitions, read_at
from ovtasks.values.arch import ARCHES
from ovtasks.values.jsonvalue import Json, fields_of

FALLBACK = "EFI/BOOT"
PROGRAMS: Mapping[str, tuple[str, int]] = {arch.name: (arch.removable, arch.coff) for arch in ARCHES if arch.removable}
"""By the kernel's name of an architecture: the program that UEFI starts, and the machine number in it."""
_CODE = 440  # bytes of the first sector before the disk's identifier
CORE = 0x5C  # where GRUB's boot code holds the sector of its core image
_HEAD = 4096  # bytes of a program in which its headers lie
_CERTIFICATES = 4  # index of a PE file's data directories


@dataclass(frozen=True)
class Bootable:
    """Whether each firmware can start a disk; None if that is not certain.

    ``signed``: the program that UEFI starts carries a signature, which Secure Boot needs. The reasons say what is
    missing.
    """

    bios: bool | None
    uefi: bool | None
    signed: bool | None = None
    why_not_bios: str = ""
    why_not_uefi: str = ""

    def to_json(self) -> dict[str, Json]:
        """The value as JSON, for :meth:`from_json`."""
        return fields_of(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Bootable:
        """Read what :meth:`to_json` wrote. Anything else counts as unknown."""

        def sure(key: str) -> bool | None:
            value = data.get(key)
            return value if isinstance(value, bool) else None

        texts = (str(data.get(key) or "") for key in ("why_not_bios", "why_not_uefi"))
        return cls(sure("bios"), sure("uefi"), sure("signed"), *texts)


def bootable(disk: Path, machine: str = "") -> Bootable | None:
    """Which firmware can start the raw ``disk`` on a ``machine`` (the kernel's name; empty: this one).

    None if nothing can be said: the disk has neither partitions nor a file system that a firmware reads.
    """
    with disk.open("rb") as file:
        table = partitions(file)
        if table is None and _fat(file, 0) is None:
            return None
        bios, why_not_bios = _bios(file, table or ())
        uefi, signed, why_not_uefi = _uefi(file, table or (), machine or platform.machine())
        return Bootable(bios, uefi, signed, why_not_bios, why_not_uefi)


def _bios(file: BinaryIO, table: tuple[Partition, ...]) -> tuple[bool | None, str]:
    first = read_at(file, 0, SECTOR)
    if first[510:] != b"\x55\xaa" or not any(first[:_CODE]):
        return False, "there is no boot code in its first sector"
    if b"GRUB" not in first[:_CODE]:
        return (True, "") if any(part.active and _filled(file, part.start) for part in table) else (None, "")
    (core,) = struct.unpack_from("<Q", first, CORE)
    if core and _filled(file, core * SECTOR):
        return True, ""
    return False, "GRUB's boot code is there, and what it loads is not"


def _filled(file: BinaryIO, place: int) -> bool:
    return any(read_at(file, place, SECTOR))


def _uefi(file: BinaryIO, table: tuple[Partition, ...], machine: str) -> tuple[bool | None, bool | None, str]:
    """Whether UEFI can start the disk, whether the program is signed, and why not.

    UEFI looks at every file system that it can read, whatever its partition is called.
    """
    reasons = []
    for start in [0, *(part.start for part in sorted(table, key=lambda part: not part.esp))]:
        if (fat := _fat(file, start)) is None:
            continue
        signed, why = _program(fat, machine)
        if not why:
            return True, signed, ""
        reasons.append(why)
    if any(part.kind in EXTENDED for part in table) or machine not in PROGRAMS:
        return None, None, ""
    if reasons:
        return False, None, reasons[0]
    esp = any(part.esp for part in table)
    return False, None, "its EFI system partition has no FAT file system" if esp else "it has no EFI system partition"


def _fat(file: BinaryIO, start: int) -> Fat | None:
    try:
        return Fat(file, start)
    except NotFatError:
        return None


def _program(fat: Fat, machine: str) -> tuple[bool | None, str]:
    """Whether the program that UEFI starts is signed; else why there is no program that this machine can start."""
    name, number = PROGRAMS.get(machine, ("", 0))
    folder = fat.find(FALLBACK)
    there = [entry for entry in fat.entries(folder) if not entry.folder] if folder and folder.folder else []
    found = next((entry for entry in there if entry.name.upper() == name), None)
    if found is None:
        others = [entry.name for entry in there if entry.name.upper() in {program for program, _ in PROGRAMS.values()}]
        if others:
            return None, f"its EFI system partition has {', '.join(others)}, for another architecture, and no {name}"
        empty = next(fat.entries(), None) is None
        return None, f"its EFI system partition {'is empty' if empty else f'has no {FALLBACK}/{name}'}"
    return _checked(fat, found, number)


def _checked(fat: Fat, found: FatEntry, number: int) -> tuple[bool | None, str]:
    head = fat.head(found, _HEAD)
    broken = f"{FALLBACK}/{found.name} is not an EFI program"
    if head[:2] != b"MZ" or len(head) < 64:
        return None, broken
    (place,) = struct.unpack_from("<I", head, 0x3C)
    if head[place : place + 4] != b"PE\0\0" or len(head) < place + 26:
        return None, broken
    (machine,) = struct.unpack_from("<H", head, place + 4)
    if machine != number and not {machine, number} <= {0x01C2, 0x01C4}:
        return None, f"{FALLBACK}/{found.name} is a program for another architecture"
    wide = struct.unpack_from("<H", head, place + 24)[0] == 0x20B
    certificates = place + 24 + (112 if wide else 96) + _CERTIFICATES * 8
    if len(head) < certificates + 8:
        return None, ""
    return struct.unpack_from("<I", head, certificates + 4)[0] > 0, ""

"""Which firmware can boot a disk, told from its partition table.

Format: UEFI specification, chapter 5, "GUID Partition Table"; the type of GRUB's BIOS boot partition is GRUB's own
(GRUB manual, "BIOS installation").
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
_SIGNATURE = b"EFI PART"
_BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
_EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_MOST_ENTRIES = 1024


@dataclass(frozen=True)
class Bootable:
    """By which firmware a disk can be started."""

    bios: bool
    uefi: bool


def bootable(disk: Path) -> Bootable | None:
    """What the raw ``disk``'s GUID partition table has; None: it has none, and nothing can be said."""
    types = set(_types(disk))
    return Bootable(_BIOS_BOOT in types, _EFI_SYSTEM in types) if types else None


def _types(disk: Path) -> Iterator[uuid.UUID]:
    with disk.open("rb") as file:
        file.seek(SECTOR)
        header = file.read(92)
        if len(header) < 92 or header[:8] != _SIGNATURE:
            return
        start, count, size = struct.unpack_from("<QII", header, 72)
        if not 128 <= size <= 4096:
            return
        file.seek(start * SECTOR)
        for _ in range(min(count, _MOST_ENTRIES)):
            entry = file.read(size)
            if len(entry) == size and any(entry[:16]):
                yield uuid.UUID(bytes_le=entry[:16])

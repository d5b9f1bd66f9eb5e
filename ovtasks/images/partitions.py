"""Reads the partitions of a raw disk, as a firmware sees them.

Format: UEFI specification, chapter 5, "GUID Partition Table (GPT) Disk Layout", with its backup at the disk's end; else
the older table in the first sector (MBR).
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SECTOR = 512
EFI_SYSTEM = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
EXTENDED = frozenset({0x05, 0x0F, 0x85})
_MBR_ESP = 0xEF
_SIGNATURE = b"EFI PART"
_MOST_ENTRIES = 1024
_LEGACY_BOOTABLE = 1 << 2  # attribute of a GPT entry


@dataclass(frozen=True)
class Partition:
    """One partition. ``start`` and ``size`` are in bytes. ``active``: a BIOS boots it.

    ``kind`` is its type in an MBR, None if it comes from a GPT.
    """

    start: int
    size: int
    esp: bool
    active: bool
    kind: int | None = None


def read_at(disk: BinaryIO, place: int, length: int) -> bytes:
    """Up to ``length`` bytes at ``place``; fewer or none if a damaged table points beyond the disk."""
    if place >= disk.seek(0, 2):
        return b""
    disk.seek(place)
    return disk.read(length)


def partitions(disk: BinaryIO) -> tuple[Partition, ...] | None:
    """The partitions in the table's order; None if there is no table."""
    gpt = _gpt(disk)
    return gpt if gpt is not None else _mbr(disk)


def _gpt(disk: BinaryIO) -> tuple[Partition, ...] | None:
    end = disk.seek(0, 2)
    for place in (SECTOR, end - SECTOR):
        if place > 0 and (header := _header(disk, place)):
            return tuple(_entries(disk, header))
    return None


def _header(disk: BinaryIO, place: int) -> bytes | None:
    sector = read_at(disk, place, SECTOR)
    if len(sector) < SECTOR or sector[:8] != _SIGNATURE:
        return None
    (size,) = struct.unpack_from("<I", sector, 12)
    if not 92 <= size <= SECTOR:
        return None
    summed = zlib.crc32(sector[:16] + bytes(4) + sector[20:size])
    return sector if summed == struct.unpack_from("<I", sector, 16)[0] else None


def _entries(disk: BinaryIO, header: bytes) -> Iterator[Partition]:
    start, count, size = struct.unpack_from("<QII", header, 72)
    if not 128 <= size <= 4096:
        return
    table = read_at(disk, start * SECTOR, size * min(count, _MOST_ENTRIES))
    for place in range(0, len(table) - size + 1, size):
        entry = table[place : place + size]
        if any(entry[:16]):
            first, last, attributes = struct.unpack_from("<QQQ", entry, 32)
            esp = str(uuid.UUID(bytes_le=entry[:16])) == EFI_SYSTEM
            yield Partition(first * SECTOR, (last - first + 1) * SECTOR, esp, bool(attributes & _LEGACY_BOOTABLE))


def _mbr(disk: BinaryIO) -> tuple[Partition, ...] | None:
    sector = read_at(disk, 0, SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return None
    found = []
    for place in range(446, 510, 16):
        flag, kind, start, size = struct.unpack_from("<B3xB3xII", sector, place)
        if flag not in {0, 0x80}:
            return None  # not a partition table but a file system's boot sector
        if kind:
            esp, active = kind == _MBR_ESP, flag == 0x80
            found.append(Partition(start * SECTOR, size * SECTOR, esp, active, kind))
    return tuple(found)

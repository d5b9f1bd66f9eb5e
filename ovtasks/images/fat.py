"""Reads a FAT file system in an image, enough to find a file. Needs no mount and no other program.

Format: "Microsoft Extensible Firmware Initiative FAT32 File System Specification" (FAT12 and FAT16, too).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ovtasks.images.partitions import read_at

_ENTRY = 32
_DIRECTORY, _LABEL, _LONG = 0x10, 0x08, 0x0F
_MOST = 1 << 20  # bytes of one folder


class NotFatError(Exception):
    """There is no FAT file system at this place, or it is damaged."""


@dataclass(frozen=True)
class FatEntry:
    """A file or folder; ``cluster`` is where it begins, ``size`` in bytes (of a folder: 0)."""

    name: str
    folder: bool
    cluster: int
    size: int


class Fat:
    """The file system that begins ``start`` bytes into ``file``.

    :raises NotFatError: there is none.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        boot = self._read(0, 90)
        if len(boot) < 90 or boot[0] not in {0xEB, 0xE9}:
            raise NotFatError
        sector, per_cluster, reserved, fats, roots, total, _, size = struct.unpack_from("<HBHBHHBH", boot, 11)
        total = total or struct.unpack_from("<I", boot, 32)[0]
        wide = struct.unpack_from("<I", boot, 36)[0]
        if sector not in {512, 1024, 2048, 4096} or not per_cluster or per_cluster & (per_cluster - 1):
            raise NotFatError
        if not reserved or not fats or not total or not (size or wide):
            raise NotFatError
        self._cluster = sector * per_cluster
        self._table = reserved * sector
        root = self._table + fats * (size or wide) * sector
        self._root = (root, roots * _ENTRY)
        self._data = root + -(-roots * _ENTRY // sector) * sector
        self._count = (total * sector - self._data) // self._cluster
        self._bits = 12 if self._count < 4085 else 16 if self._count < 65525 else 32
        self._first = struct.unpack_from("<I", boot, 44)[0] if self._bits == 32 else 0
        if self._count <= 0:
            raise NotFatError

    def find(self, path: str) -> FatEntry | None:
        """The file or folder ``path`` (``EFI/BOOT/BOOTX64.EFI``, in any case); None: it is not there."""
        found = FatEntry("", folder=True, cluster=self._first, size=0)
        for name in path.split("/"):
            if not found.folder:
                return None
            below = (entry for entry in self.entries(found) if entry.name.upper() == name.upper())
            if (child := next(below, None)) is None:
                return None
            found = child
        return found

    def entries(self, folder: FatEntry | None = None) -> Iterator[FatEntry]:
        """What is in ``folder``, by its long names; None: the topmost."""
        cluster = folder.cluster if folder else self._first
        data = self._content(cluster, _MOST) if cluster else self._read(*self._root)
        long = ""
        for place in range(0, len(data) - _ENTRY + 1, _ENTRY):
            entry = data[place : place + _ENTRY]
            if entry[0] == 0:
                return
            if entry[11] & 0x3F == _LONG:
                part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
                long = part.split("\0")[0] + ("" if entry[0] & 0x40 else long)
                continue
            name, long = long or _short(entry[:11]), ""
            if entry[0] != 0xE5 and not entry[11] & _LABEL:
                high, low, size = struct.unpack_from("<H4xHI", entry, 20)
                number = (high << 16 | low) if self._bits == 32 else low
                yield FatEntry(name, bool(entry[11] & _DIRECTORY), number, size)

    def head(self, entry: FatEntry, length: int) -> bytes:
        """The first ``length`` bytes of a file, fewer if it is shorter."""
        return self._content(entry.cluster, min(length, entry.size))

    def _content(self, cluster: int, length: int) -> bytes:
        """The content of a chain of clusters. A chain that leaves the disk or runs in a circle ends there."""
        parts: list[bytes] = []
        left = length
        while left > 0 and 2 <= cluster < self._count + 2:
            parts.append(self._read(self._data + (cluster - 2) * self._cluster, min(left, self._cluster)))
            left -= self._cluster
            cluster = self._next(cluster)
        return b"".join(parts)

    def _next(self, cluster: int) -> int:
        if self._bits == 12:
            pair = self._read(self._table + cluster * 3 // 2, 2)
            value = int.from_bytes(pair, "little")
            return value >> 4 if cluster & 1 else value & 0xFFF
        width = self._bits // 8
        return int.from_bytes(self._read(self._table + cluster * width, width), "little") & 0x0FFFFFFF

    def _read(self, place: int, length: int) -> bytes:
        return read_at(self._file, self._start + place, length)


def _short(raw: bytes) -> str:
    base, kind = raw[:8].decode("cp437").rstrip(), raw[8:].decode("cp437").rstrip()
    return f"{base}.{kind}" if kind else base

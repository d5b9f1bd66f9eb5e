"""Checks that an image file is as long as its own tables say. Half a download is not a disk.

Formats: QEMU docs/interop/qcow2.rst; UEFI specification, chapter 5, "GUID Partition Table"; for the MBR, UEFI
specification §5.2.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LARGEST_L1 = 32 << 20  # bytes; QEMU's own limit
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_EXTENDED_L2 = 1 << 4
_SECTORS = (512, 4096)
_MOST_ENTRIES = 1024
_PROTECTIVE = 0xEE


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a qcow2 header that say where things lie. Sizes and offsets are in bytes."""

    cluster_bits: int
    size: int
    l1_offset: int
    l1_entries: int
    refcount_offset: int
    refcount_size: int
    snapshots_offset: int
    extended: bool
    zstd: bool

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits


def missing_of_qcow2(path: Path) -> str | None:
    """Which part of a qcow2 file lies behind the file's end, in words; None if it is whole."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        header = _header(file.read(112))
        if not 9 <= header.cluster_bits <= 21:
            return f"its clusters of 2^{header.cluster_bits} bytes are none"
        l1_size = header.l1_entries * 8
        if l1_size > _LARGEST_L1:
            return f"its L1 table of {l1_size} bytes is none"
        for name, start, size in (
            ("L1 table", header.l1_offset, l1_size),
            ("refcount table", header.refcount_offset, header.refcount_size),
            ("snapshot table", header.snapshots_offset, 1 if header.snapshots_offset else 0),
        ):
            if start + size > length:
                return f"its {name} ends at byte {start + size}"
        for block in _table(file.fileno(), header.refcount_offset, header.refcount_size):
            if (block & _OFFSET) and (block & _OFFSET) + header.cluster > length:
                return f"a refcount block ends at byte {(block & _OFFSET) + header.cluster}"
        for index, entry in enumerate(_table(file.fileno(), header.l1_offset, l1_size)):
            at = entry & _OFFSET
            if at + (header.cluster if at else 0) > length:
                return f"an L2 table ends at byte {at + header.cluster}"
            if at and (missing := _missing_data(file.fileno(), header, index, at, length)) is not None:
                return missing
    return None


def _header(head: bytes) -> _Header:
    version, cluster_bits, size = struct.unpack(">I12xIQ", head[4:32])
    l1_entries, l1_offset, refcount_offset, refcount_clusters, snapshots, snapshots_offset = struct.unpack(
        ">IQQIIQ", head[36:72]
    )
    features = struct.unpack(">Q", head[72:80])[0] if version == 3 else 0
    length = struct.unpack(">I", head[100:104])[0] if version == 3 else 72
    return _Header(
        cluster_bits=cluster_bits,
        size=size,
        l1_offset=l1_offset,
        l1_entries=l1_entries,
        refcount_offset=refcount_offset,
        refcount_size=refcount_clusters << cluster_bits if cluster_bits <= 21 else 0,
        snapshots_offset=snapshots_offset if snapshots else 0,
        extended=bool(features & _EXTENDED_L2),
        zstd=length >= 105 and head[104] == 1,
    )


def _table(fd: int, offset: int, size: int) -> array[int]:
    """A table of big-endian 64-bit numbers; shorter if the file ends before."""
    data = os.pread(fd, size, offset)
    table = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        table.byteswap()
    return table


def _missing_data(fd: int, header: _Header, index: int, at: int, length: int) -> str | None:
    """The first cluster of an L2 table whose data is missing, in words."""
    table = _table(fd, at, header.cluster)
    if header.extended:
        table = table[::2]
    first = index * (header.cluster // (16 if header.extended else 8))
    shift = 62 - (header.cluster_bits - 8)
    low = (1 << shift) - 1
    edge = max(length - 2 * header.cluster - 512, 0)
    for position, entry in [(n, e) for n, e in enumerate(table) if e & low > edge]:
        guest = (first + position) << header.cluster_bits
        if entry & _COMPRESSED:
            start, sectors = entry & low, ((entry & (_COMPRESSED - 1)) >> shift) + 1
            end = (start & ~511) + sectors * 512
            if start >= length or (end > length and not _unpacks(os.pread(fd, end - start, start), header)):
                return f"the data of guest byte {guest} ends at byte {end}"
        elif (entry & _OFFSET) and (header.extended or not entry & _ZERO):
            used = min(header.cluster, header.size - guest)  # the disk's last cluster may be written in part
            if (entry & _OFFSET) + used > length:
                return f"the data of guest byte {guest} ends at byte {(entry & _OFFSET) + used}"
    return None


def _unpacks(data: bytes, header: _Header) -> bool:
    """Whether a compressed cluster is whole. Its last sector may be cut."""
    if header.zstd:
        import zstandard

        try:
            return len(zstandard.ZstdDecompressor().decompressobj().decompress(data)) >= header.cluster
        except zstandard.ZstdError:
            return False
    try:
        return len(zlib.decompressobj(-15).decompress(data, header.cluster)) == header.cluster
    except zlib.error:
        return False


def missing_of_raw(path: Path) -> str | None:
    """Which partition of a raw disk reaches behind the file's end, in words; None if all are there."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        for name, end in _partitions(file.fileno()):
            if end > length:
                return f"{name} ends at byte {end}"
    return None


def _partitions(fd: int) -> Iterator[tuple[str, int]]:
    """Each partition's name, in words, and the offset of its end in bytes."""
    for sector in _SECTORS:
        header = os.pread(fd, 92, sector)
        if header[:8] == b"EFI PART" and len(header) == 92:
            backup = struct.unpack_from("<Q", header, 32)[0]
            start, count, size = struct.unpack_from("<QII", header, 72)
            if not 128 <= size <= 4096:
                return
            entries = os.pread(fd, min(count, _MOST_ENTRIES) * size, start * sector)
            for at in range(0, len(entries) - 127, size):
                first, last = struct.unpack_from("<QQ", entries, at + 32)
                if any(entries[at : at + 16]) and last >= first:
                    yield f"partition {at // size + 1}", (last + 1) * sector
            yield "the partition table's copy", (backup + 1) * sector
            return
    yield from _mbr(os.pread(fd, 512, 0))


def _mbr(boot: bytes) -> Iterator[tuple[str, int]]:
    """The primary partitions; none if the sector is a file system's boot sector, not a partition table."""
    entries = [boot[at : at + 16] for at in range(446, 510, 16)]
    if len(boot) < 512 or boot[510:] != b"\x55\xaa" or any(entry[0] not in {0, 0x80} for entry in entries):
        return
    found = [(n, entry[4], *struct.unpack("<II", entry[8:])) for n, entry in enumerate(entries, 1) if any(entry)]
    if any(not kind or not first or not count for _, kind, first, count in found):
        return
    for number, kind, first, count in found:
        if kind != _PROTECTIVE:
            yield f"partition {number}", (first + count) * 512

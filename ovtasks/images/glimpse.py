"""Copies the parts of a disk image that a firmware looks at into a raw file, for code that reads raw disks only.

qemu-img extracts them, through backing files and compression; block driver options: qemu(1), "Block device options".
"""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ovtasks.host.run import run
from ovtasks.images.boot import CORE
from ovtasks.images.partitions import SECTOR, partitions

HEAD = 1 << 20  # bytes: the partition table, and GRUB if it has no partition
SECONDS = 60.0


@contextlib.contextmanager
def glimpse(disk: Path) -> Iterator[Path]:
    """A sparse raw copy of the image's beginning and of its EFI system partitions, for as long as the block lasts.

    :raises CommandError: qemu-img cannot read it. :raises MissingProgramError: it is not installed.
    """
    said = run(["qemu-img", "info", "--force-share", "--output=json", disk], timeout=SECONDS).stdout
    info = json.loads(said)
    size, kind = int(info["virtual-size"]), str(info["format"])
    with tempfile.TemporaryDirectory(prefix="ov-glimpse-") as folder:
        raw = Path(folder) / "disk.raw"
        with raw.open("wb") as file:
            file.truncate(size)
        _copy(disk, kind, raw, 0, min(HEAD, size))
        with raw.open("rb") as file:
            wanted = [(part.start, part.size) for part in partitions(file) or () if part.esp]
            file.seek(CORE)
            core = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0] * SECTOR
        for start, length in [(core, SECTOR), *wanted]:
            if start >= HEAD and start + length <= size:
                _copy(disk, kind, raw, start, length)
        yield raw


def _copy(disk: Path, kind: str, raw: Path, start: int, length: int) -> None:
    part = f"driver=raw,offset={start},size={length}"
    source = f"{part},file.driver={kind},file.file.driver=file,file.file.filename={_escaped(disk)}"
    if kind == "raw":
        source = f"{part},file.driver=file,file.filename={_escaped(disk)}"
    target = f"{part},file.driver=file,file.filename={_escaped(raw)}"
    words = [
        "convert",
        "--force-share",
        "-n",
        "--target-is-zero",
        "--image-opts",
        source,
        "--target-image-opts",
        target,
    ]
    run(["qemu-img", *words], timeout=SECONDS)


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")

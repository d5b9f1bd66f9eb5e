"""Folders: those that only their owner can enter, and what they take on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ovtasks.host.oserrors import explaining


def make_private(folders: Iterable[Path]) -> None:
    """Create the folders that are missing, 0700. Existing ones stay as they are.

    :raises OvError: one cannot be created.
    """
    for folder in folders:
        with explaining(f"cannot make the folder {folder}", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def allocated(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes on disk below ``folder``, without files that are ``seen`` (device, inode): one may have several names."""
    total = 0
    try:
        entries = [*os.scandir(folder)]
    except OSError:  # there is none, or it is not ours to read
        return 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            total += allocated(Path(entry.path), seen)
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:  # it has gone meanwhile
            continue
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total

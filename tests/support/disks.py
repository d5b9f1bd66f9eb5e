"""File systems for one test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import mount, umount


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "128k") -> Iterator[Path]:
    """A file system of its own in a new folder."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        umount(folder)

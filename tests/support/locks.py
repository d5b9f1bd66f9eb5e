"""Locks of files that a test holds while the program wants them."""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 120.0


def await_waiter(path: Path) -> None:
    """Return when somebody waits for the flock on ``path``; after two minutes in any case."""
    inode = path.stat().st_ino
    end = time.monotonic() + SECONDS
    while not _waits(inode) and time.monotonic() < end:
        time.sleep(0.02)


def _waits(inode: int) -> bool:
    """Whether the kernel lists a waiter ("1: -> FLOCK ADVISORY WRITE 42 fd:01:1234 0 EOF")."""
    lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    return any("-> FLOCK" in line and line.split()[-3].endswith(f":{inode}") for line in lines)

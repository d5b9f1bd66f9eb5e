"""What of the image store nobody holds any more."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.host.files import flock
from ovtasks.images.records import Verified, read_record
from ovtasks.images.store import Store

RECENT_SECONDS = 600.0
"""Content that a build verified so recently may be about to get its link."""
INCOMING_SECONDS = 7 * 86400.0
"""A download that nobody went on with for so long is given up."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file. ``size`` is what it takes on disk (bytes); it goes unless ``held_by`` says who needs it."""

    path: Path
    size: int
    what: str
    held_by: tuple[str, ...] = ()

    @property
    def removable(self) -> bool:
        return not self.held_by


def survey(store: Store) -> list[Item]:
    """Content, half-done downloads and orphaned records, each with what holds it."""
    return [*_content(store), *_incoming(store)]


def _content(store: Store) -> Iterator[Item]:
    recent = _recently_verified(store)
    for entry in store.entries():
        held = [str(path) for path in store.holders(entry.sha256)]
        others = entry.links - 1 - len(held)
        if others > 0:
            held.append(f"{others} other hard link{'s' if others > 1 else ''}")
        if not held and (entry.sha256 in recent or time.time() - entry.path.stat().st_ctime < RECENT_SECONDS):
            held.append("a build of the last minutes")
        yield Item(entry.path, entry.allocated, f"base image sha256:{entry.sha256[:12]}…", tuple(held))


def _recently_verified(store: Store) -> set[str]:
    recent = set()
    for path in (store.root / "by-url").glob("*.verified.json"):
        record = read_record(path)
        if record is not None and time.time() - path.stat().st_mtime < RECENT_SECONDS:
            try:
                recent.add(Verified.from_json(record).sha256)
            except (ValueError, TypeError, KeyError):
                continue
    return recent


def _incoming(store: Store) -> Iterator[Item]:
    folder = store.root / "incoming"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        key = path.name.partition(".")[0]
        stat = path.stat()
        age = time.time() - stat.st_mtime
        held: tuple[str, ...] = ()
        if is_locked(store.lock_path(key)):
            held = ("a build that is running",)
        elif age < INCOMING_SECONDS:
            held = (f"its next build: a download of {age / 86400:.0f} days ago",)
        yield Item(path, stat.st_blocks * 512, "unfinished download", held)


def is_locked(path: Path) -> bool:
    """Whether some process holds this lock file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove(store: Store, items: list[Item]) -> list[Item]:
    """Remove what is removable and still is, now that nobody can make a new link; returns what went."""
    gone = []
    with store.guard("tidy the image store"), flock(store.lock_path("store")):
        for item in items:
            if item.removable and item.path.exists() and item.path.stat().st_nlink == 1:
                item.path.unlink()
                item.path.with_name(f"{item.path.name}.holders").unlink(missing_ok=True)
                gone.append(item)
    return gone

"""Finds what nobody needs in the image store any more, and removes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ovtasks.host.beneath import check
from ovtasks.host.files import flock, is_locked, open_own
from ovtasks.host.state import try_load_state
from ovtasks.images.provenance import Verified
from ovtasks.images.request import FROM_LOCK
from ovtasks.images.store import Store
from ovtasks.values.durations import format_duration

RECENT_SECONDS = 600.0
"""Seconds: content that was verified so recently may get its link at any moment."""
INCOMING_SECONDS = 7 * 86400.0
"""Seconds: a download that nobody resumed for so long is given up."""
RUNNING = "a build that is running"


@dataclass(frozen=True, slots=True)
class Item:
    """One file. ``size`` is the space it takes on disk, in bytes. It is removed unless ``held_by`` names who needs it.

    ``used`` is when it was last used, in seconds since the epoch; None if it is not an image.
    """

    path: Path
    size: int
    what: str
    held_by: tuple[str, ...] = ()
    used: float | None = None

    @property
    def removable(self) -> bool:
        """Whether nobody holds the file."""
        return not self.held_by


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """What stays although nobody holds it; None: no such limit.

    ``age``: content that was used in the last so many seconds. ``size``: so many bytes in total, those used last.
    """

    age: float | None = None
    size: int | None = None


def limited(items: list[Item], limits: RetentionLimits, now: float) -> list[Item]:
    """``items``, where those that stay by the limits are held.

    The oldest go first. Without limits, everything goes that nobody holds.
    """
    free = sorted((item for item in items if item.removable and item.used is not None), key=lambda item: item.used or 0)
    total = sum(item.size for item in items if item.used is not None)
    stay: dict[Path, str] = {}
    for item in free:
        age = now - (item.used or 0)
        old = limits.age is not None and age >= limits.age
        large = limits.size is not None and total > limits.size
        if old or large or (limits.age is None and limits.size is None):
            total -= item.size
        else:
            stay[item.path] = f"nobody; it was used {format_duration(age)} ago and is within the limits"
    return [replace(item, held_by=(stay[item.path],)) if item.path in stay else item for item in items]


def survey(store: Store, pinned: Collection[str] = (), going: Collection[Path] = ()) -> list[Item]:
    """Content and half-done downloads, each with what holds it.

    ``pinned`` are the sha256 digests in the caller's ``ovtasks.lock``: what a URL had then may exist nowhere else any
    more. ``going`` are files that are about to be removed; as links they hold nothing.
    """
    return [*_content(store, pinned, going), *_incoming(store)]


def _content(store: Store, pinned: Collection[str], going: Collection[Path]) -> Iterator[Item]:
    from ovtasks.images.fetch import indexed

    recent = _recently_verified(store)
    locks = store.lock_path("store").parent
    building = any(is_locked(path) for path in files_in(locks) if path.name != "store")
    wanted = {*pinned, *(fetched.content_sha256 for fetched in indexed(store) if fetched.sha256 in pinned)}
    gone = _inodes(going)
    for entry in store.entries():
        found = entry.path.stat()
        leaving = gone.get((found.st_dev, found.st_ino), frozenset())
        holders = store.holders(entry.sha256)
        held = [str(path) for path in holders if path not in leaving]
        others = entry.links - 1 - len(leaving | set(holders))
        if others > 0:
            held.append(f"{others} other hard link{'s' if others > 1 else ''}")
        if entry.sha256 in wanted:
            held.append(FROM_LOCK)
        if not held and building:
            held.append(RUNNING)
        since = max(found.st_mtime, recent.get(entry.sha256, 0.0))  # ctime would change when a link goes
        if not held and time.time() - since < RECENT_SECONDS and not store.was_linked(entry.sha256, since):
            held.append("a build of the last minutes")
        used = max(found.st_atime, found.st_mtime)
        yield Item(entry.path, entry.allocated, f"base image sha256:{entry.sha256[:12]}…", tuple(held), used)


def _inodes(paths: Collection[Path]) -> dict[tuple[int, int], frozenset[Path]]:
    """The existing files, by device and inode."""
    found: dict[tuple[int, int], frozenset[Path]] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.lstat()
            key = (status.st_dev, status.st_ino)
            found[key] = found.get(key, frozenset()) | {path}
    return found


def _recently_verified(store: Store) -> dict[str, float]:
    """When content was verified, in seconds since the epoch; recent content only."""
    recent: dict[str, float] = {}
    for path in (store.root / "by-url").glob("*.verified.json"):
        noted = try_load_state(path)
        if noted is not None and time.time() - (when := path.stat().st_mtime) < RECENT_SECONDS:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                sha256 = Verified.from_json(noted).sha256
                recent[sha256] = max(when, recent.get(sha256, 0.0))
    return recent


def _incoming(store: Store) -> Iterator[Item]:
    for path in files_in(store.root / "incoming"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # a build has just finished with it
            continue
        age = time.time() - stat.st_mtime
        held: tuple[str, ...] = ()
        if is_locked(store.lock_path(_key(path))):
            held = (RUNNING,)
        elif age < INCOMING_SECONDS:
            held = (f"its next build: a download of {age / 86400:.0f} days ago",)
        yield Item(path, stat.st_blocks * 512, "unfinished download", held)


def _key(path: Path) -> str:
    """The request that a file in ``incoming`` belongs to."""
    return path.name.partition(".")[0]


def files_in(folder: Path) -> list[Path]:
    """The files directly in ``folder``, sorted; none if there is no such folder.

    :raises UnsafeError: a link leads there; we remove only what is ours.
    """
    check(folder)
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


@contextlib.contextmanager
def try_locks(paths: Iterable[Path]) -> Iterator[bool]:
    """Hold all these locks without waiting; yields False if another process holds one."""
    with contextlib.ExitStack() as stack:
        free = True
        for path in paths:
            fd = open_own(path)
            stack.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
                break
        yield free


def remove(store: Store, items: list[Item]) -> list[Item]:
    """Look again while nobody can make a new link, and remove what is still removable. Returns what was removed."""
    chosen = [item for item in items if item.removable]
    gone: list[Item] = []
    if not chosen:
        return gone
    with store.guard("tidy the image store"), flock(store.lock_path("store")):
        still = {item.path for item in survey(store) if item.removable}
        for item in chosen:
            download = item.path.parent.name == "incoming"
            with try_locks([store.lock_path(_key(item.path))] if download else []) as free:
                if free and item.path in still:
                    item.path.unlink(missing_ok=True)
                    for beside in ("holders", "seen"):
                        item.path.with_name(f"{item.path.name}.{beside}").unlink(missing_ok=True)
                    gone.append(item)
    return gone

"""What of the image store nobody holds any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.host.files import flock, is_locked, open_own
from ovtasks.host.state import recall
from ovtasks.images.records import Verified
from ovtasks.images.request import FROM_LOCK
from ovtasks.images.store import Store

RECENT_SECONDS = 600.0
"""Content that a build verified so recently may be about to get its link."""
INCOMING_SECONDS = 7 * 86400.0
"""A download that nobody went on with for so long is given up."""
RUNNING = "a build that is running"


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


def survey(store: Store, pinned: Collection[str] = ()) -> list[Item]:
    """Content and half-done downloads, each with what holds it.

    ``pinned`` are sha256 digests of files as downloaded, which the caller's ``ovtasks.lock`` names: what a URL had
    then may be nowhere else any more.
    """
    return [*_content(store, pinned), *_incoming(store)]


def _content(store: Store, pinned: Collection[str]) -> Iterator[Item]:
    from ovtasks.images.fetch import indexed

    recent = _recently_verified(store)
    locks = store.lock_path("store").parent
    building = any(is_locked(path) for path in files_in(locks) if path.name != "store")
    wanted = {*pinned, *(fetched.content_sha256 for fetched in indexed(store) if fetched.sha256 in pinned)}
    for entry in store.entries():
        held = [str(path) for path in store.holders(entry.sha256)]
        others = entry.links - 1 - len(held)
        if others > 0:
            held.append(f"{others} other hard link{'s' if others > 1 else ''}")
        if entry.sha256 in wanted:
            held.append(FROM_LOCK)
        if not held and building:
            held.append(RUNNING)
        # not ctime: that also changes when the last other link goes
        if not held and (entry.sha256 in recent or time.time() - entry.path.stat().st_mtime < RECENT_SECONDS):
            held.append("a build of the last minutes")
        yield Item(entry.path, entry.allocated, f"base image sha256:{entry.sha256[:12]}…", tuple(held))


def _recently_verified(store: Store) -> set[str]:
    recent = set()
    for path in (store.root / "by-url").glob("*.verified.json"):
        record = recall(path)
        if record is not None and time.time() - path.stat().st_mtime < RECENT_SECONDS:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                recent.add(Verified.from_json(record).sha256)
    return recent


def _incoming(store: Store) -> Iterator[Item]:
    for path in files_in(store.root / "incoming"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # a build finished with it just now
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
    """The files directly in ``folder``, sorted; none when there is no such folder."""
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


@contextlib.contextmanager
def try_locks(paths: Iterable[Path]) -> Iterator[bool]:
    """Hold all these lock files without waiting for them; yields False when another process has one."""
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
    """Remove what is removable and still is, now that nobody can make a new link; returns what went."""
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

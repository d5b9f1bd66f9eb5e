"""The store of base images: read-only files named by the sha256 of their content, shared by all projects.

::

    sha256/<hex>            content, mode 0444
    sha256/<hex>.seen       size, time and inode that it had when its digest was taken
    sha256/<hex>.holders    one path a line: hard links that were made of it
    incoming/<key>.part     a download (``.raw.part``: unpacked from it; ``.json``: what a resume needs to know;
                            ``.seen``: sizes, times and inodes of a download that is complete)
    by-url/<key>.json       what a request brought (``.verified.json``: what that is; ``.signed``, ``.signature``)
    by-recipe/<key>.json    which image a bootstrap made (``times.json``: how long its parts took)
    keyrings/<key>.gpg      a keyring that was fetched
    locks/<key>             held while that request is worked on; ``locks/store`` while links and content change
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError, check, guard, make_folder
from ovtasks.host.files import discard, flock, fsync_directory, is_file, link_or_copy, move, write_atomic
from ovtasks.host.oserrors import NoRoomError, explained
from ovtasks.host.state import StateError, open_log, read_state, try_load_state
from ovtasks.values.jsonvalue import Json, state_text

HEX_LENGTH = 64
A_WHILE = 3600.0
"""Seconds: how precisely a file's access time tells when it was used."""


class StoreFullError(NoRoomError):
    """The store is full; the half-made file has been removed."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One file of the store: length, room taken on disk (bytes), number of hard links."""

    sha256: str
    path: Path
    size: int
    allocated: int
    links: int


class Store:
    """The image store under ``root``. Folders are made when something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        guard(root)

    def path(self, sha256: str) -> Path:
        """Where the content with this digest lies, or would lie."""
        return self.root / "sha256" / sha256

    def keyring(self, key: str) -> Path:
        """Where a keyring that was fetched lies, or would lie."""
        return self.root / "keyrings" / f"{key}.gpg"

    def part(self, key: str) -> Path:
        """Where a download is written."""
        return self.root / "incoming" / f"{key}.part"

    def raw_part(self, key: str) -> Path:
        """Where the content of a compressed download is unpacked to."""
        return self.root / "incoming" / f"{key}.raw.part"

    def resume_state(self, key: str) -> Path:
        """What a resume of the download needs to know."""
        return self.root / "incoming" / f"{key}.json"

    def index(self, key: str) -> Path:
        """The file with the provenance of what a request brought."""
        return self.root / "by-url" / f"{key}.json"

    def verified_index(self, key: str) -> Path:
        """The file with what those bytes were found to be."""
        return self.root / "by-url" / f"{key}.verified.json"

    def by_recipe(self, key: str) -> Path:
        """The file with what was made by a recipe."""
        return self.root / "by-recipe" / f"{key}.json"

    def evidence(self, key: str) -> tuple[Path, Path]:
        """The files of the signed text that the expected digest comes from, and of its detached signature."""
        return self.root / "by-url" / f"{key}.signed", self.root / "by-url" / f"{key}.signature"

    def lock_path(self, key: str) -> Path:
        """The lock that is held while a request is worked on."""
        return self.root / "locks" / key

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether content with this digest is here (and has ``size`` bytes)."""
        path = self.path(sha256)
        return path.is_file() and size in {None, path.stat().st_size}

    def sound(self, sha256: str, size: int | None = None) -> bool:
        """Whether intact content with this digest is here. If its stat is not the recorded one, it is read and hashed.

        Content that a stray write or a power cut damaged is removed; links to it elsewhere keep that file.
        """
        path, seen = self.path(sha256), self.seen(sha256)
        found = _look(path)
        if found is None:
            with contextlib.suppress(OSError):
                path.rmdir()  # an empty folder in its place
            return False
        if found[0] == (found[0] if size is None else size):
            if _read_seen(seen).get(_CONTENT) == found:
                return True
            if _sha256_of(path) == sha256:
                _write_seen(seen, {_CONTENT: found})
                return True
        for damaged in (path, seen, _holders_file(path)):
            with contextlib.suppress(OSError):
                damaged.unlink()
        return False

    def seen(self, sha256: str) -> Path:
        """Size, time and inode of verified content."""
        return self.root / "sha256" / f"{sha256}.seen"

    def note_parts(self, key: str) -> None:
        """Record the stat of a complete download: as long as it stays the same, the file need not be read again."""
        looks = {path.name: look for path in (self.part(key), self.raw_part(key)) if (look := _look(path))}
        _write_seen(self.seen_parts(key), looks)

    def seen_parts(self, key: str) -> Path:
        """Sizes, times and inodes of a complete download."""
        return self.root / "incoming" / f"{key}.seen"

    def sound_part(self, key: str, path: Path, sha256: str) -> bool:
        """Whether ``path``, a file of a complete download, is still what was hashed."""
        found = _look(path)
        return found is not None and (
            _read_seen(self.seen_parts(key)).get(path.name) == found or _sha256_of(path) == sha256
        )

    def drop_parts(self, key: str) -> None:
        """Remove what a request downloaded and did not put into the store."""
        for path in (self.part(key), self.raw_part(key), self.resume_state(key), self.seen_parts(key)):
            path.unlink(missing_ok=True)

    def adopt(self, copy: Path, sha256: str, size: int) -> bool:
        """Take the content from ``copy``, a file that may hold it. It is read, and must have the digest.

        :raises OvError: the store cannot be written.
        """
        found = _look(copy)
        if found is None or found[0] != size or _sha256_of(copy) != sha256:
            return False
        part = self.part(sha256)
        with self.guard("put an image into the store"), self.lock(sha256):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            try:
                with contextlib.suppress(UnsafeError):
                    link_or_copy(copy, part)
                    if _sha256_of(part) == sha256:  # still the same
                        self.add(part, sha256)
                        return True
            finally:
                part.unlink(missing_ok=True)
        return False

    @contextlib.contextmanager
    def lock(self, key: str, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold a request: one process at a time works on it.

        :raises OvError: the store cannot be written.
        """
        with self.guard("lock the image store"):
            held = flock(self.lock_path(key), waiting=waiting)
            held.__enter__()
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    @contextlib.contextmanager
    def guard(self, doing: str, *folders: Path) -> Iterator[None]:
        """Turn an error of writing (here, or in ``folders``) into one that says what to do.

        :raises StoreFullError: the disk is full. :raises OvError: the folder is not writable.
        """
        try:
            yield
        except OSError as e:
            error = explained(e, f"cannot {doing}", self.root, *folders)
            hint = error.hint or ""
            if str(self.root) in error.message and "XDG_CACHE_HOME" not in hint:
                hint = f"{hint}; XDG_CACHE_HOME or source.cache moves the store".removeprefix("; ")
            raise (StoreFullError if isinstance(error, NoRoomError) else OvError)(error.message, hint=hint) from e

    def add(self, part: Path, sha256: str) -> Path:
        """Give ``part`` its final name by an atomic rename, read-only. Its bytes are on disk and have this digest.

        ``part`` is gone afterwards, even if the content was here before.

        :raises OvError: the store cannot be written.
        """
        final = self.path(sha256)
        with self.guard("put an image into the store"), flock(self.lock_path("store")):
            make_folder(final.parent)
            if not self.sound(sha256):
                if final.is_dir() and not final.is_symlink():
                    raise OvError(
                        f"{final} is a folder where an image must be",
                        hint=f"move it away: mv {shlex.quote(str(final))} {shlex.quote(str(final))}.old",
                    )
                part.chmod(0o444)
                move(part, final)
                fsync_directory(final.parent)
                if (look := _look(final)) is not None:
                    _write_seen(self.seen(sha256), {_CONTENT: look})
            part.unlink(missing_ok=True)
        return final

    def link(self, sha256: str, target: Path) -> None:
        """Make ``target`` a hard link to the content (a copy on another file system), and record it as a holder.

        An existing ``target`` is replaced atomically, unless it already is this content.

        :raises OvError: there is no such content, or ``target`` cannot be written.
        """
        source = self.path(sha256)
        with self.guard(f"make {target}", target.parent), flock(self.lock_path("store")):
            if not self.sound(sha256):
                raise OvError(f"the image sha256:{sha256} is no longer in {self.root}", hint="build again to fetch it")
            make_folder(target.parent)
            if not (is_file(target) and _same(target, source)):
                fresh = target.with_name(f".{target.name}.link")
                discard(fresh)
                try:
                    link_or_copy(source, fresh)
                    move(fresh, target)
                finally:
                    discard(fresh)
            self._remember(source, target)

    def entries(self) -> list[StoreEntry]:
        """All content, sorted by digest."""
        found = []
        for path in _names(self.root / "sha256"):
            if len(path.name) == HEX_LENGTH:
                status = path.stat()
                found.append(StoreEntry(path.name, path, status.st_size, status.st_blocks * 512, status.st_nlink))
        return found

    def was_linked(self, sha256: str, since: float) -> bool:
        """Whether somebody linked this content after ``since`` (seconds since the epoch)."""
        with contextlib.suppress(OSError):
            return _holders_file(self.path(sha256)).stat().st_mtime >= since
        return False

    def holders(self, sha256: str) -> list[Path]:
        """The paths that are links to this content, as far as recorded."""
        source = self.path(sha256)
        return [path for path in _read_holders(source) if _same(path, source)]

    def _remember(self, source: Path, target: Path) -> None:
        holders = {path for path in _read_holders(source) if _same(path, source)}
        if target.samefile(source):  # a copy needs no holder
            holders.add(target.absolute())
        # written each time: its mtime tells when the last link was made, the content's atime when it was last used
        write_atomic(_holders_file(source), b"".join(os.fsencode(path) + b"\n" for path in sorted(holders)))
        with contextlib.suppress(OSError):
            status = source.stat()
            if time.time() - status.st_atime > A_WHILE:
                os.utime(source, ns=(time.time_ns(), status.st_mtime_ns))


_CONTENT = "content"
Look: TypeAlias = tuple[int, int, int]
"""Size (bytes), time of change (ns) and inode of a file."""


def _look(path: Path) -> Look | None:
    """Size, time and inode of a file; None if it is not a regular file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _read_seen(path: Path) -> dict[str, Look]:
    noted = try_load_state(path) or {}
    return {name: (look[0], look[1], look[2]) for name, look in noted.items() if _is_look(look)}  # type: ignore


def _is_look(value: Json) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(number, int) for number in value)


def _write_seen(path: Path, looks: Mapping[str, Look]) -> None:
    """Record the stats. If the store cannot be written, files are read each time instead."""
    with contextlib.suppress(OSError):
        write_atomic(path, state_text({name: list(look) for name, look in looks.items()}), mode=0o600)


def _sha256_of(path: Path) -> str | None:
    """The digest of a file's content; None if it cannot be read."""
    try:
        with open_log(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, StateError):
        return None


def _names(directory: Path) -> list[Path]:
    check(directory)  # we remove only what is ours
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holders_file(source: Path) -> Path:
    return source.with_name(f"{source.name}.holders")


def _read_holders(source: Path) -> list[Path]:
    try:
        data = read_state(_holders_file(source)) or b""
    except StateError:
        return []
    return [Path(os.fsdecode(line)) for line in data.split(b"\n") if line]


def _same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except (OSError, ValueError):  # not a path: the file is damaged
        return False

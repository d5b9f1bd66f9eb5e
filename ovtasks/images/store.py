"""The store of base images: read-only files named by the sha256 of their content, shared by all projects.

::

    sha256/<hex>            content, mode 0444
    sha256/<hex>.holders    one path a line: hard links that were made of it
    incoming/<key>.part     a download (``.raw.part``: unpacked from it; ``.json``: what a resume needs to know)
    by-url/<key>.json       what a request brought (``.verified.json``: what that is; ``.signed``, ``.signature``)
    locks/<key>             held while that request is worked on; ``locks/store`` while links and content change
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.beneath import guard
from ovtasks.host.files import flock, fsync_directory, link_or_copy, write_atomic
from ovtasks.host.oserrors import NoRoomError, explained

HEX_LENGTH = 64


class StoreFullError(NoRoomError):
    """The store cannot take more bytes; what was half there has been removed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the store: length, room taken on disk (bytes), number of hard links."""

    sha256: str
    path: Path
    size: int
    allocated: int
    links: int


class Store:
    """The image store under ``root``; directories are made when something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        guard(root)

    def path(self, sha256: str) -> Path:
        """Where content with this digest lies, or would lie."""
        return self.root / "sha256" / sha256

    def part(self, key: str) -> Path:
        return self.root / "incoming" / f"{key}.part"

    def raw_part(self, key: str) -> Path:
        return self.root / "incoming" / f"{key}.raw.part"

    def resume_state(self, key: str) -> Path:
        return self.root / "incoming" / f"{key}.json"

    def index(self, key: str) -> Path:
        return self.root / "by-url" / f"{key}.json"

    def verified_index(self, key: str) -> Path:
        return self.root / "by-url" / f"{key}.verified.json"

    def evidence(self, key: str) -> tuple[Path, Path]:
        """The signed text that the expected digest comes from, and its detached signature."""
        return self.root / "by-url" / f"{key}.signed", self.root / "by-url" / f"{key}.signature"

    def lock_path(self, key: str) -> Path:
        return self.root / "locks" / key

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether content with this digest is here; with ``size`` (bytes): as long as it must be."""
        path = self.path(sha256)
        return path.is_file() and size in {None, path.stat().st_size}

    def drop_parts(self, key: str) -> None:
        """Forget what a request downloaded and did not put into the store."""
        for path in (self.part(key), self.raw_part(key), self.resume_state(key)):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: str, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """One process at a time works on one request.

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
        """Turn the operating system's refusal to write (here, or in ``folders``) into an error that says what to do.

        :raises StoreFullError: no room. :raises OvError: not writable.
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
        """Promote ``part``, whose bytes are already on disk and have this digest, by an atomic rename; read-only.

        ``part`` is gone afterwards, also when the content was here before.

        :raises OvError: the store cannot be written.
        """
        final = self.path(sha256)
        with self.guard("put an image into the store"), flock(self.lock_path("store")):
            final.parent.mkdir(parents=True, exist_ok=True)
            if not final.is_file() or final.stat().st_size != part.stat().st_size:  # somebody cut it off
                part.chmod(0o444)
                part.replace(final)
                fsync_directory(final.parent)
            part.unlink(missing_ok=True)
        return final

    def link(self, sha256: str, target: Path) -> None:
        """Make ``target`` a hard link of the content (a copy on another file system) and remember who holds it.

        An existing ``target`` is replaced at once; one that already is this content is left alone.

        :raises OvError: there is no such content, or it cannot be written.
        """
        source = self.path(sha256)
        with self.guard(f"make {target}", target.parent), flock(self.lock_path("store")):
            if not source.is_file():
                raise OvError(f"the image sha256:{sha256} is no longer in {self.root}", hint="build again to fetch it")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(source)):
                fresh = target.with_name(f".{target.name}.link")
                fresh.unlink(missing_ok=True)
                try:
                    link_or_copy(source, fresh)
                    fresh.replace(target)
                finally:
                    fresh.unlink(missing_ok=True)
            self._remember(source, target)

    def entries(self) -> list[Entry]:
        """All content, sorted by digest."""
        found = []
        for path in _names(self.root / "sha256"):
            if len(path.name) == HEX_LENGTH:
                stat = path.stat()
                found.append(Entry(path.name, path, stat.st_size, stat.st_blocks * 512, stat.st_nlink))
        return found

    def holders(self, sha256: str) -> list[Path]:
        """The paths that were linked to this content and still are."""
        source = self.path(sha256)
        return [path for path in _read_holders(source) if _same(path, source)]

    def _remember(self, source: Path, target: Path) -> None:
        if not target.samefile(source):
            return  # a copy keeps itself alive
        absolute = target.absolute()
        known = [path for path in _read_holders(source) if _same(path, source)]
        if absolute not in known:
            write_atomic(
                _holders_file(source), b"".join(os.fsencode(path) + b"\n" for path in sorted([*known, absolute]))
            )


def _names(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holders_file(source: Path) -> Path:
    return source.with_name(f"{source.name}.holders")


def _read_holders(source: Path) -> list[Path]:
    try:
        data = _holders_file(source).read_bytes()
    except FileNotFoundError:
        return []
    return [Path(os.fsdecode(line)) for line in data.split(b"\n") if line]


def _same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:
        return False

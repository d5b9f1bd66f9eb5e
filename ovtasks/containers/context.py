"""Finds what the build of an image reads: the containerfile, the files of its context, and their digests.

This runs every time, so a file's content is read only if ``stat`` says that it may have changed. Times decide nothing
else: touching a file changes no digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ovtasks.containers import containerfile, ignore
from ovtasks.containers.paths import Finder
from ovtasks.errors import InputError, OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.state import try_load_state
from ovtasks.project.model import ImageSpec
from ovtasks.values.jsonvalue import Json, digest, state_text

NAMES = ("Containerfile", "Dockerfile")
"""What podman looks for in the context if no containerfile is named."""
SINGLE = 100
"""Up to so many files are separate inputs, so that ``ov why`` names the one that changed."""
RACY_NS = 50_000_000
"""Nanoseconds: a file that changed so shortly before it was read may change again without a trace in its times."""

ATTRIBUTES = frozenset({"security.capability", "security.ima"})
"""Extended attributes that count, besides ``user.*``."""

KnownDigests = dict[str, list[int | str]]


class ContextEntry(NamedTuple):
    """A path of a context: its name there, its real path, and its ``lstat`` (None if it is missing).

    ``named``: a folder that an instruction names. Only what is in it is taken.
    """

    path: str
    real: str
    stat: os.stat_result | None
    named: bool = False


MEMO_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True)
class Context:
    """A build context. Its ``inputs`` and the images ``bases`` decide the result; ``reads`` are the paths we looked at.

    ``apart`` is a folder below the context that does not belong to it: the project's output, as a relative path.
    ``mounted`` is a digest of the files if some come by RUN --mount, which podman's cache of layers ignores.
    """

    containerfile: Path
    folder: Path
    bases: tuple[str, ...]
    inputs: Mapping[str, Json]
    reads: tuple[Path, ...]
    apart: str | None
    mounted: str | None = None

    def ignore_text(self) -> str | None:
        """What podman must leave out, as the text of an ignore file; None if nothing."""
        found = ignore.find(self.folder, self.containerfile)
        lines = [found.read_text(encoding="utf-8", errors="surrogateescape")] if found else []
        if self.apart is not None:
            escaped = "".join(f"\\{char}" if char in "*?[]\\!#" else char for char in self.apart)
            lines.append(escaped)
        return "\n".join(lines) + "\n" if lines else None


def read_context(image: ImageSpec, output: Path, state: Path, machine: str, *, whole: bool = False) -> Context:
    """The build context of ``image``, without ``output``. ``state`` is the folder in which digests are remembered.

    Only what COPY, ADD and RUN name counts; with ``whole`` everything does (a base image's ONBUILD may name anything).

    :raises InputError: the containerfile or the folder is missing or wrong.
    :raises OvError: a file cannot be read.
    """
    folder = image.context
    assert folder is not None
    if not folder.is_dir():
        hint = "paths start at the folder of the file that declares the image"
        raise InputError(f"image '{image.name}': {folder} is not a folder", hint=hint, where=image.where)
    path = _containerfile(image, folder)
    apart = output.relative_to(folder).as_posix() if output.is_relative_to(folder) else None
    memo = state / "contexts" / f"{digest([str(folder), image.name])[:16]}.json"
    try:
        text = path.read_bytes().decode(errors="replace")
        needed = containerfile.build_inputs(text, path, image.build_args, image.target, machine)
        found = ignore.find(folder, path)
        rules = ignore.read(found) if found is not None and (needed.sources or whole) else ignore.IgnoreFile()
        walk = _Walk(folder, rules, apart)
        sources, modeless = ((containerfile.WHOLE,), ()) if whole else (needed.sources, needed.modeless)
        files = _digests(walk, sources, modeless, memo)
    except OSError as e:
        hint = "make it readable, or leave it out in .containerignore"
        problem = f"{e.filename or folder}: {os.strerror(e.errno or 0).lower()}"
        raise OvError(problem, hint=hint, where=image.where) from e
    inputs: dict[str, Json] = {
        "containerfile": digest(needed.text),
        "build_args": dict(image.build_args),
        "target": image.target,
        "context": dict(files) if len(files) <= SINGLE else {"files": len(files), "digest": digest(files)},
    }
    looked = [path, *(folder / name for name in NAMES), *ignore.candidates(folder, path), *walk.seen]
    mounted = digest(inputs["context"]) if needed.mounted else None
    return Context(path, folder, needed.bases, inputs, tuple(dict.fromkeys(looked)), apart, mounted)


def _containerfile(image: ImageSpec, folder: Path) -> Path:
    path = image.containerfile or next((p for name in NAMES if (p := folder / name).is_file()), folder / NAMES[0])
    if path.is_file():
        return path
    hint = "paths start at the folder of the file that declares the image"
    below = folder / path.name
    if image.containerfile is not None and below.is_file():
        hint += f"; {below} exists"
    elif image.containerfile is None:
        hint = f"write one, or name it in {image.where.file} by containerfile:"
    raise InputError(f"image '{image.name}': there is no {path}", hint=hint, where=image.where)


class _Walk:
    """Finds the files of a context. ``seen`` are the folders and files whose change would change the context."""

    def __init__(self, folder: Path, rules: ignore.IgnoreFile, apart: str | None) -> None:
        self.folder = folder
        self.rules = rules
        self.apart = apart
        self.seen: list[Path] = []

    def files(self, sources: Iterable[str]) -> Iterator[ContextEntry]:
        """Everything that ``sources`` name. The builder takes the content of a folder, and what a link leads to."""
        finder = Finder(self.folder, self.seen.append)
        for source in sources:
            if source == containerfile.WHOLE:
                self.seen.append(self.folder)
                yield from self._below("", "")
                continue
            for path, real in finder.matches(source):
                if real is None:
                    yield ContextEntry(path, path, None)
                    continue
                found = (self.folder / real).lstat()
                if not stat.S_ISDIR(found.st_mode):
                    if path == source or not self.rules.leaves_out(path):
                        yield ContextEntry(path, real, found)
                    continue
                yield ContextEntry(path, real, found, named=True)
                yield from self._below(real, path)

    def _below(self, place: str, name: str) -> Iterator[ContextEntry]:
        """The entries of the folder ``place``, whose name in the context is ``name``."""
        if self.apart is not None and f"{place}/".startswith(f"{self.apart}/"):
            return
        with os.scandir(self.folder / place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = f"{place}/{entry.name}" if place else entry.name
            called = f"{name}/{entry.name}" if name else entry.name
            if path == self.apart:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            left_out = self.rules.leaves_out(path)
            inside = is_folder and (not left_out or self.rules.has_exceptions)
            if inside or not left_out:
                self.seen.append(self.folder / path)
            if not left_out or (is_folder and self.rules.keeps_something_in(path)):
                yield ContextEntry(called, path, entry.stat(follow_symlinks=False))
            if inside:
                yield from self._below(path, called)


def _digests(walk: _Walk, sources: tuple[str, ...], modeless: tuple[str, ...], memo: Path) -> dict[str, str]:
    """What stands at each path, as a short text.

    :raises OSError: a file cannot be read.
    """
    known = _remembered(memo)
    now: KnownDigests = {}
    made: dict[str, str] = {}
    for entry in walk.files(modeless):
        made[_printable(entry.path)] = _describe(walk.folder / entry.real, entry, known, now, modeless=True)
    for entry in walk.files(source for source in sources if source not in modeless):
        made[_printable(entry.path)] = _describe(walk.folder / entry.real, entry, known, now)
    if now != known:
        with contextlib.suppress(OSError):  # losing it only costs time
            write_atomic(memo, state_text(now))
    return made


def _printable(name: str) -> str:
    """A file's name as text, even if it is not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _describe(
    path: Path, entry: ContextEntry, known: KnownDigests, now: KnownDigests, *, modeless: bool = False
) -> str:
    """Kind, permissions, owner and content of a path.

    The owner counts only if it is another user, so that two users' checkouts of the same files are equal.
    """
    found = entry.stat
    if found is None:
        return "missing"
    owner = "" if found.st_uid == os.geteuid() and found.st_gid == os.getegid() else f" {found.st_uid}:{found.st_gid}"
    mode = "" if modeless else f"{stat.S_IMODE(found.st_mode) & 0o777:04o} "
    if stat.S_ISLNK(found.st_mode):
        return f"link to {_printable(str(path.readlink()))}{owner}"
    if stat.S_ISDIR(found.st_mode):
        return "folder" if entry.named else f"{mode}folder{owner}"
    if not stat.S_ISREG(found.st_mode):
        return f"{mode}special{owner}"
    times: list[int | str] = [found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns]
    before = known.get(entry.real)
    if before is not None and before[:-1] == times:
        content = str(before[-1])
    else:
        with path.open("rb") as file:
            began = time.time_ns()
            content = hashlib.file_digest(file, "sha256").hexdigest() + _attributes(file.fileno())
        if began - found.st_ctime_ns < RACY_NS:
            return f"{mode}{content}{owner}"  # not remembered
    now[entry.real] = [*times, content]
    return f"{mode}{content}{owner}"


def _attributes(fd: int) -> str:
    """The extended attributes that the builder copies, as a digest; empty if there are none."""
    try:
        names = [name for name in os.listxattr(fd) if name.startswith("user.") or name in ATTRIBUTES]
        values: dict[str, Json] = {name: os.getxattr(fd, name).hex() for name in names}
    except OSError:
        return ""  # the file system has no attributes
    return f" attributes {digest(values)[:16]}" if values else ""


def _remembered(memo: Path) -> KnownDigests:
    known = try_load_state(memo, limit=MEMO_LIMIT) or {}
    return {
        name: [item for item in times if isinstance(item, int | str)]
        for name, times in known.items()
        if isinstance(times, list)
    }

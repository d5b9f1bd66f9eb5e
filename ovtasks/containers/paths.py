"""Finds paths below a folder as podman's builder does: by Go's ``filepath.Match``, with links kept inside."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

MAX_LINKS = 40
_MAGIC = re.compile(r"[*?\[]")
_PARTS = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_MEMBERS = re.compile(r"\\.|.", re.DOTALL)


class Finder:
    """Finds what patterns name below ``root``. Every path whose change could change the answer is told to ``see``."""

    def __init__(self, root: Path, see: Callable[[Path], object]) -> None:
        self.root = root
        self.see = see

    def matches(self, pattern: str) -> Iterator[tuple[str, str | None]]:
        """Each path that ``pattern`` names, with its real path (None if it is missing). Links are followed."""
        found = [""]
        for part in pattern.split("/"):
            if part == "**":
                # podman 4 reads it as *, later versions as any number of folders
                names = [_join(path, name) for path in found for name in self._names(path)]
                found = [*(below for path in found for below in self._folders(path)), *names]
            elif _MAGIC.search(re.sub(r"\\.", "", part, flags=re.DOTALL)):
                expression = expression_of(part)
                found = [
                    _join(path, name) for path in found for name in self._names(path) if expression.fullmatch(name)
                ]
            else:
                found = [_join(path, re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)) for path in found]
        literal = len(found) == 1
        for path in dict.fromkeys(found):
            real = self.real(path)
            if real is not None or literal:
                yield path, real

    def real(self, path: str) -> str | None:
        """The real path of ``path``: links are followed, absolute ones from ``root``. None if it is missing."""
        todo = [part for part in reversed(path.split("/")) if part]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part in {".", ".."}:
                done = done[:-1] if part == ".." else done
                continue
            here = self.root.joinpath(*done, part)
            self.see(here)
            try:
                found = here.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not stat.S_ISLNK(found.st_mode):
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            target = os.readlink(here)  # noqa: PTH115 — a Path would lose a leading //
            done = [] if target.startswith("/") else done
            todo += [step for step in reversed(target.split("/")) if step]
        return "/".join(done)

    def _names(self, path: str) -> list[str]:
        real = self.real(path)
        if real is None or not (self.root / real).is_dir():
            return []
        self.see(self.root / real)
        return sorted(os.listdir(self.root / real))  # noqa: PTH208 — only names are wanted

    def _folders(self, path: str) -> Iterator[str]:
        """``path`` and all folders below it, without following links."""
        real = self.real(path)
        if real is None or not (self.root / real).is_dir():
            return
        yield path
        self.see(self.root / real)
        with os.scandir(self.root / real) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        for name in names:
            yield from self._folders(_join(path, name))


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


@cache
def expression_of(part: str) -> re.Pattern[str]:
    """One part of a pattern of ``filepath.Match`` as a regular expression. A malformed pattern matches nothing."""
    made = ""
    for piece in _PARTS.findall(part):
        if piece == "*":
            made += "[^/]*"
        elif piece == "?":
            made += "[^/]"
        elif piece.startswith("[") and len(piece) > 2:
            negated = piece.startswith("[^")
            members = _MEMBERS.findall(piece[1 + negated : -1])
            made += "[^" if negated else "["
            made += "".join("-" if member == "-" else re.escape(member[-1]) for member in members) + "]"
        elif piece.startswith("["):
            return re.compile(r"(?!)")
        else:
            made += re.escape(piece[-1])
    try:
        return re.compile(made, re.DOTALL)
    except re.error:
        return re.compile(r"(?!)")

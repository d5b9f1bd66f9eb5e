"""Which files of a build context are left out: ``.containerignore``, else ``.dockerignore``. See containerignore(5)."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, Where

NAMES = (".containerignore", ".dockerignore")
"""The first one that exists counts."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: what it matches, and whether it keeps that (``!``) or leaves it out."""

    text: str
    expression: re.Pattern[str]
    keeps: bool


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """The lines of an ignore file. The last one that matches a path, or a folder above it, decides."""

    patterns: tuple[Pattern, ...] = ()

    def leaves_out(self, path: str) -> bool:
        """Whether ``path`` (relative to the context, with ``/``) is left out of the context."""
        parts = path.split("/")
        tries = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        for pattern in reversed(self.patterns):
            if any(pattern.expression.fullmatch(one) for one in tries):
                return not pattern.keeps
        return False

    @property
    def has_exceptions(self) -> bool:
        """Whether an exception may keep something below a folder that is left out."""
        return any(pattern.keeps for pattern in self.patterns)

    def keeps_something_in(self, folder: str) -> bool:
        """Whether an exception begins with ``folder``; then podman copies the folder even if it is left out."""
        return any(pattern.keeps and pattern.text.startswith(folder) for pattern in self.patterns)


def candidates(context: Path, containerfile: Path) -> tuple[Path, ...]:
    """The possible ignore files of a build, in order. One named after the containerfile comes before the context's."""
    own = (containerfile.with_name(f"{containerfile.name}{name}") for name in reversed(NAMES))
    return (*own, *(context / name for name in NAMES))


def find(context: Path, containerfile: Path) -> Path | None:
    """The ignore file of a build; None if there is none."""
    return next((path for path in candidates(context, containerfile) if path.is_file()), None)


def read(path: Path) -> IgnoreFile:
    """The patterns of an ignore file.

    :raises InputError: a pattern is malformed.
    """
    found: list[Pattern] = []
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("\ufeff").splitlines()
    for number, written in enumerate(lines, 1):
        line = written.strip()
        if not line or written.startswith("#"):
            continue
        keeps = line.startswith("!")
        if line == "!":
            raise InputError("'!' alone keeps nothing", hint="! and a pattern", where=Where(str(path), number))
        text = posixpath.normpath(line.removeprefix("!").strip().strip("/") or ".")
        if text == ".":  # the context itself is always taken
            continue
        try:
            found.append(Pattern(text, re.compile(_expression(text), re.DOTALL), keeps))
        except re.error as e:
            raise InputError(
                f"'{line}' is not a pattern: {e}", hint="*, ?, [a-z] and **", where=Where(str(path), number)
            ) from e
    return IgnoreFile(tuple(found))


def _expression(text: str) -> str:
    """A pattern of Go's ``filepath.Match``, with ``**`` for any number of folders, as a regular expression."""
    parts = re.findall(r"\*\*/?|\\.|\[\^?[^\]]*\]|.", text, re.DOTALL)
    made = ""
    for index, part in enumerate(parts):
        if part in {"[", "\\"}:
            raise re.error(f"{part} is not closed" if part == "[" else "it ends with a backslash")
        if part.startswith("**"):
            made += ".*" if index == len(parts) - 1 else "(?:.*/)?"
        elif part in {"*", "?"}:
            made += "[^/]" + ("*" if part == "*" else "")
        elif part[0] == "[" and len(part) > 1:
            made += part
        else:
            made += re.escape(part[-1])
    return made

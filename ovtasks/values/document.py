"""A YAML document that was read: its plain data, and the line and column of every key and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ovtasks.errors import InputError, Where
from ovtasks.values.jsonvalue import Json

Key = str | int
Position = tuple[int, int]


class Inheritance(NamedTuple):
    """The entry that a value was inherited from, as errors name it, and the file that it stands in."""

    file: str
    entry: str


class Passing(Protocol):
    """Reads what is meant for another program, as that program reads it."""

    def passed(self, *path: str) -> Json:
        """The value at ``path``.

        :raises InputError: that program cannot read it; with ``where``, or ``at`` in the document's own text.
        """
        ...


class Mark(NamedTuple):
    """Where one value stands. ``raw`` is the text of an unquoted scalar, ``keys`` are the places of a mapping's keys.

    ``text`` is where a text begins, if the file holds it unchanged, so that its lines and columns can be counted there.
    ``written`` are the words of the file for keys of a mapping that were renamed after reading. ``origin`` is set
    where an inherited value begins; it counts for everything below.
    """

    position: Position
    raw: str | None = None
    keys: dict[str, Position] | None = None
    items: dict[Key, Mark] | None = None
    text: Position | None = None
    written: dict[str, str] | None = None
    origin: Inheritance | None = None


class Mistake(NamedTuple):
    """YAML that a spec may not use, at ``path``: a key that appears twice, an alias of nothing. It has no value."""

    path: tuple[Key, ...]
    error: InputError


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its plain ``data``, the places of it (``mark``), and its text (``written``).

    ``mistakes`` are what is left out of the data; only who asked for them gets a document that has some.
    """

    file: str
    data: Json
    mark: Mark
    written: Passing
    mistakes: tuple[Mistake, ...] = ()

    def where(self, *path: Key, key: bool = False, at: Position | None = None) -> Where:
        """The place of the value at ``path``, or of the nearest thing around it if there is no such value.

        With ``key``: the place of its key. With ``at``: the place of that line and column of its text.
        """
        mark, position, file = self.mark, self.mark.position, self.file
        for depth, step in enumerate(path):
            below = (mark.items or {}).get(step)
            inside = below.origin.file if below and below.origin else file
            if key and depth == len(path) - 1 and isinstance(step, str) and mark.keys and step in mark.keys:
                return Where(inside, *mark.keys[step])
            if below is None:
                break
            mark, position, file = below, below.position, inside
        else:
            if at is not None and mark.text is not None:
                line, column = mark.text
                position = (line + at[0] - 1, column + at[1] - 1)
        return Where(file, *position)

    def words(self, *path: Key) -> tuple[Key, ...]:
        """``path`` with the keys that the file has, also if they were renamed after reading."""
        mark: Mark | None = self.mark
        found: list[Key] = []
        for step in path:
            found.append((mark.written or {}).get(step, step) if mark and isinstance(step, str) else step)
            mark = (mark.items or {}).get(step) if mark else None
        return tuple(found)

    def begins(self, *path: Key) -> Position | None:
        """Where the text at ``path`` begins; None if the file does not hold it unchanged."""
        mark: Mark | None = self.mark
        for step in path:
            mark = (mark.items or {}).get(step) if mark else None
        return mark.text if mark else None

    def origin(self, *path: Key) -> Inheritance | None:
        """The entry that the value at ``path`` was inherited from; None: it was not."""
        mark: Mark | None = self.mark
        found: Inheritance | None = None
        for step in path:
            mark = (mark.items or {}).get(step) if mark else None
            found = mark.origin if mark and mark.origin else found
        return found

    def raw(self, *path: Key) -> str | None:
        """The unquoted scalar at ``path`` as it was written; None for anything else."""
        mark: Mark | None = self.mark
        for step in path:
            mark = (mark.items or {}).get(step) if mark else None
        return mark.raw if mark else None

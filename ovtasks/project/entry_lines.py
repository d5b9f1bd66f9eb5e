"""The lines of one entry of ``deploy:`` in a file, and a file in which they are exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ovtasks.values.yamlio import Mark, parse_yaml

ROOTS = ("deploy", "deployments")


class Indents(NamedTuple):
    """Columns by which a mapping's keys, and the hyphens of a list, stand behind the key above them."""

    mapping: int = 2
    sequence: int = 0


@dataclass(frozen=True)
class Lines:
    """Line numbers from 0; ``end`` is the one after the last."""

    start: int
    end: int


def indents(data: bytes) -> Indents:
    """How the file is indented, by its first mapping and its first list that have lines of their own."""
    mapping: int | None = None
    sequence: int | None = None
    for document in parse_yaml(data, ""):
        for (key_line, key), below in _pairs(document.mark):
            line, column = next(iter(below.keys.values())) if below.keys else below.position
            if line == key_line:
                continue
            if below.keys and mapping is None:
                mapping = column - key
            elif below.keys is None and below.items and sequence is None:
                sequence = column - key
    return Indents(mapping or 2, sequence or 0)


def _pairs(mark: Mark) -> Iterator[tuple[tuple[int, int], Mark]]:
    """Each key's place, with its value, in the order of the file."""
    for key, below in (mark.items or {}).items():
        if mark.keys and isinstance(key, str) and key in mark.keys:
            yield mark.keys[key], below
        yield from _pairs(below)


def spliced(before: bytes, whole: bytes, name: str) -> bytes | None:
    """``before`` with the lines that the entry has in ``whole``; None if they cannot be told from others."""
    old_text, new_text = (data.decode().splitlines(keepends=True) for data in (before, whole))
    if "\r\n" in before.decode():
        return None
    old, new = _find(before, name), _find(whole, name)
    if old is None and new is None:
        return None
    lines = [*new_text[new.start : new.end]] if new else []
    if old is None:
        at = _end_of_entries(before)
        if at is None:
            return None
        head = old_text[:at]
        if head and not head[-1].endswith("\n"):
            head[-1] += "\n"
        return "".join((*head, *_content(lines), *old_text[at:])).encode()
    if new is None:
        old = Lines(old.start, old.start + len(_content(old_text[old.start : old.end])))
    return "".join((*old_text[: old.start], *lines, *old_text[old.end :])).encode()


def _content(lines: list[str]) -> list[str]:
    """Without comments and empty lines at the end, which belong to what follows."""
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines = lines[:-1]
    return [*lines[:-1], lines[-1] if lines[-1].endswith("\n") else f"{lines[-1]}\n"] if lines else []


def _find(data: bytes, name: str) -> Lines | None:
    """The lines of the entry; None if it is not there, or shares a line with something else."""
    for keys, ends in _mappings(data):
        if name in keys:
            start = keys[name][0] - 1
            later = [line - 1 for line, _ in (*keys.values(), *ends) if line - 1 > start]
            alone = sum(line == keys[name][0] for line, _ in (*keys.values(), *ends)) == 1
            end = min(later, default=len(data.decode().splitlines()))
            return Lines(start, end) if alone else None
    return None


def _end_of_entries(data: bytes) -> int | None:
    """The line after the last entry; None if a new one cannot stand there."""
    text = data.decode().splitlines(keepends=True)
    for keys, ends in _mappings(data):
        if keys and (found := _find(data, next(reversed(keys)))) is not None:
            return found.start + len(_content(text[found.start : found.end]))
        if keys or ends:
            return None
    return None


def _mappings(data: bytes) -> Iterator[tuple[dict[str, tuple[int, int]], list[tuple[int, int]]]]:
    """The places of the entries' keys, for each mapping of entries; and the places of what may follow it."""
    documents = parse_yaml(data, "")
    if len(documents) != 1:
        return
    (document,) = documents
    top = document.mark
    for root in ROOTS:
        found = (top.items or {}).get(root)
        if found is None or found.keys is None:
            continue
        ends = list((top.keys or {}).values())
        below = (found.items or {}).get("images") if root != "deploy" else None
        if below is not None and below.keys:
            yield below.keys, [*ends, *found.keys.values()]
        yield found.keys, ends

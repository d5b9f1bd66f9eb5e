"""Names of keys in other versions of the user's files, and a document with the names of this one.

One table says for each block of a file which other names its keys have had. Reading applies it to a document, and so
every other part of the program knows one name alone; a migration can apply it to the file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ovtasks.errors import InputError
from ovtasks.values.yamlio import Document, Key, Mark, Position


@dataclass(frozen=True)
class KeyNames:
    """The names of a mapping's keys, or of the keys of every mapping in a list.

    ``names``: another name → ours. ``below``: our name → the block of its value. ``every``: the block of all values, in
    a mapping whose keys the user chooses.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str, KeyNames] = field(default_factory=dict)
    every: KeyNames | None = None


Owner = Callable[[tuple[Key, ...]], str | None]


def renamed(document: Document, block: KeyNames, owner: Owner = lambda path: None) -> tuple[Document, list[InputError]]:
    """``document`` with our names, all places kept; and an error for each key that has two of its names at once.

    ``owner`` says whose mistake an error at a path is (``InputError.owners``).
    """
    errors: list[InputError] = []
    if not _has_other(document.data, block):
        return document, errors
    data, mark = _walk(document.data, document.mark, block, (), _report(document, errors, owner))
    return replace(document, data=data, mark=mark), errors


def _has_other(value: Any, block: KeyNames) -> bool:
    """Whether a key in ``value`` has another name than ours. Looking is cheap."""
    if isinstance(value, list):
        return any(_has_other(item, block) for item in value)
    if not isinstance(value, dict):
        return False
    if block.names and not block.names.keys().isdisjoint(value):
        return True
    if block.every is not None:
        return any(_has_other(item, block.below.get(key, block.every)) for key, item in value.items())
    return any(_has_other(value[key], below) for key, below in block.below.items() if key in value)


Report = Callable[[tuple[Key, ...], str, str], None]
"""Is told of two keys at a path that mean the same."""


def _report(document: Document, errors: list[InputError], owner: Owner) -> Report:
    def report(path: tuple[Key, ...], first: str, second: str) -> None:
        one, two = (document.where(*path, key, key=True) for key in (first, second))
        message = f"'{second}' and '{first}' mean the same"
        error = InputError(message, hint=f"'{first}' stands at {one}; make one of the two", where=two)
        errors.append(error.of(*filter(None, [owner(path)])))

    return report


def _walk(value: Any, mark: Mark, block: KeyNames, path: tuple[Key, ...], report: Report) -> tuple[Any, Mark]:
    items = mark.items or {}
    if isinstance(value, list):
        pairs = [_walk(item, items[n], block, (*path, n), report) for n, item in enumerate(value)]
        return [data for data, _ in pairs], mark._replace(items={n: below for n, (_, below) in enumerate(pairs)})
    if not isinstance(value, dict):
        return value, mark
    data: dict[str, Any] = {}
    keys: dict[str, Position] = {}
    marks: dict[Key, Mark] = {}
    written: dict[str, str] = {}
    for key, item in value.items():
        name = block.names.get(key, key)
        if name in data:
            report(path, written[name], key)
            continue
        written[name] = key
        below = block.below.get(name, block.every)
        data[name], marks[name] = item, items[key]
        if below is not None:
            data[name], marks[name] = _walk(item, items[key], below, (*path, key), report)
        if mark.keys and key in mark.keys:
            keys[name] = mark.keys[key]
    return data, mark._replace(
        keys=keys, items=marks, written={ours: key for ours, key in written.items() if ours != key}
    )

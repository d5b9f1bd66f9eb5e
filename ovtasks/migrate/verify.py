"""What an edit was to change is compared with what it did change, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, OvError, Where
from ovtasks.migrate.tree import SINGLE
from ovtasks.project.places import display
from ovtasks.values.yamlio import parse_yaml


def content(path: Path, text: str) -> list[Any]:
    """The data of the documents of a text."""
    return [document.data for document in parse_yaml(text.encode(), display(path))]


def verified(path: Path, old: str, new: str, change: Callable[[Any], Any]) -> str:
    """``new``, whose documents are those of ``old`` after ``change``.

    :raises OvError: they are not.
    """
    if new == old:
        return new
    try:
        right = content(path, new) == [change(data) for data in content(path, old)]
    except InputError:
        right = False
    if not right:
        hint = "change these entries by hand, or write each of their fields on lines of its own first"
        message = "the file is laid out in a way that this migration would damage"
        raise OvError(message, hint=hint, where=Where(display(path)))
    return new


def without(data: Any, sections: tuple[str, ...], keys: Mapping[str, tuple[str, ...]]) -> Any:
    """The data with these keys taken out of these entries of the sections."""
    if not isinstance(data, dict):
        return data
    found = dict(data)
    for section in sections:
        part = found.get(section)
        if not isinstance(part, dict):
            continue
        if section in SINGLE and isinstance(name := part.get("name"), str):
            found[section] = _left(part, keys.get(name, ()))
        else:
            found[section] = {name: _left(entry, keys.get(name, ())) for name, entry in part.items()}
    return found


def _left(entry: Any, keys: tuple[str, ...]) -> Any:
    return {key: value for key, value in entry.items() if key not in keys} if isinstance(entry, dict) else entry

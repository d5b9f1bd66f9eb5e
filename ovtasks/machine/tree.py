"""Looking into what :func:`.read.read` gave, and changing a copy of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ovtasks.machine.read import Read, Value

Copy: TypeAlias = dict[str, Value]


def mapping(read: Read, name: str) -> Read:
    """The mapping at ``name``; empty: there is none."""
    found = read.get(name, {})
    assert isinstance(found, Mapping)
    return found


def items(read: Read, name: str) -> list[Read]:
    """The mappings of the list at ``name``."""
    found = read.get(name, ())
    assert isinstance(found, Sequence) and not isinstance(found, str)
    return [item for item in found if isinstance(item, Mapping)]


def words(read: Read, name: str) -> list[str]:
    """The texts of the list at ``name``."""
    found = read.get(name, ())
    assert isinstance(found, Sequence) and not isinstance(found, str)
    return [item for item in found if isinstance(item, str)]


def value(read: Read, name: str) -> str | None:
    """The text at ``name``; None: there is none."""
    found = read.get(name)
    assert found is None or isinstance(found, str)
    return found


def over(read: Read, **defaults: Value | None) -> Copy:
    """A copy with what it lacks of ``defaults``; None is no default."""
    return {**{key: item for key, item in defaults.items() if item is not None}, **read}

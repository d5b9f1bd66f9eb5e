"""A part of the ``libvirt:`` block that knows where it stands: what the rules between fields look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovtasks.machine.stated import Fault, text
from ovtasks.values.words import dotted
from ovtasks.values.yamlio import Key

Faults = Iterator[Fault]
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


@dataclass(frozen=True)
class Tree:
    """A mapping at ``path``; anything else that stands there counts as an empty one."""

    value: Mapping[str, Any]
    path: tuple[Key, ...]

    def get(self, key: str) -> Any:
        return self.value.get(key)

    def has(self, key: str) -> bool:
        return self.value.get(key) is not None

    def text(self, key: str) -> str | None:
        """The word at ``key``; None for what is no single value."""
        found = self.value.get(key)
        return text(found) if isinstance(found, str | int | float) else None

    def number(self, key: str) -> int | None:
        word = self.text(key) or ""
        return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None

    def switch(self, key: str) -> bool | None:
        """The truth value at ``key``; None: there is none."""
        word = (self.text(key) or "").lower()
        return True if word in _TRUE else False if word in _FALSE else None

    def block(self, key: str) -> Tree:
        """The mapping at ``key``, empty when there is none."""
        found = self.value.get(key)
        return Tree(found if isinstance(found, Mapping) else {}, (*self.path, key))

    def items(self, key: str) -> list[Tree]:
        """The mappings of the list at ``key``."""
        found = self.value.get(key)
        if isinstance(found, str) or not isinstance(found, Sequence):
            return []
        return [Tree(item, (*self.path, key, i)) for i, item in enumerate(found) if isinstance(item, Mapping)]

    def fault(self, problem: str, hint: str, *below: Key) -> Fault:
        """A fault of this mapping, or of the value ``below`` it."""
        path = (*self.path, *below)
        message = f"{dotted(path)}{'' if problem.startswith(':') else ' '}{problem}"
        return Fault(path, message, hint)

"""Blocks of ``vms.yml`` that are meant for another program. They mean what they would mean in a file of its own.

cloud-init reads YAML with PyYAML's ``safe_load``, which follows YAML 1.1: ``no``, ``0644`` and ``12:30`` are false, 420
and 750. So PyYAML itself reads these blocks. They are kept as JSON; what JSON lacks (dates, bytes, sets, keys that are
not text, infinity) becomes a mapping with the key :data:`KIND`. :func:`decode` is the inverse of :func:`encode`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, TypeAlias

from ovtasks.errors import InputError
from ovtasks.values.jsonvalue import Json, canonical

Yaml: TypeAlias = object
"""What PyYAML makes of a text: JSON's values, and bytes, dates, times, sets, mappings with keys of any scalar type."""

KIND = "\0"
"""Never a key that a user wrote: keys that begin with NUL are kept as pairs."""

BLOCKS = frozenset({"network", "extra"})
_BAD_VALUES = (ValueError, KeyError, IndexError, AttributeError, OverflowError)
"""What PyYAML's constructors raise when a text does not fit its tag."""


class Pairs(list[tuple[Yaml, Yaml]]):
    """The value of ``!!pairs`` and ``!!omap``: to PyYAML a list of tuples."""


@dataclass(frozen=True, slots=True)
class Written:
    """The text that a document was read from, and the document's number in it."""

    text: str
    number: int

    def passed(self, *path: str) -> Json:
        """The value at ``path``, as PyYAML reads it.

        :raises InputError: PyYAML cannot read it; ``at`` is the line and the column in the text.
        """
        reading = _reading(self.text)
        node = reading.roots[self.number]
        for step in path:
            node = reading.below(node, step)
            assert node is not None, f"{step} was there at first reading"
        reading.check_keys(node)
        return encode(_construct(node))


def is_passed(path: Sequence[str | int]) -> bool:
    """Whether another program reads what stands at ``path``: a VM's blocks for cloud-init."""
    for root, depth in (("vms", 2), ("vm", 2), ("vm", 1), ("defaults", 1)):
        if path and path[0] == root and len(path) > depth + 1 and path[depth] == "cloud_init":
            return path[depth + 1] in BLOCKS
    return False


class _Reading:
    """PyYAML's nodes of a text that is known to be YAML, of bounded depth and without loops."""

    def __init__(self, text: str) -> None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.roots: list[Any] = [*yaml.compose_all(text, Loader=loader)]
        self._maps: dict[int, tuple[dict[str, Any], list[Any]]] = {}
        self._checked: set[int] = set()  # PyYAML puts merged keys into these nodes later

    def below(self, node: Any, step: str) -> Any:
        """The value of key ``step``, else that of the first merged mapping that has the key, else None."""
        written, merged = self._maps.get(id(node)) or self._map(node)
        if step in written:
            return written[step]
        return next((found for one in merged if (found := self.below(one, step)) is not None), None)

    def check_keys(self, root: Any) -> None:
        """Refuse a key that a mapping has twice (same tag, same text); PyYAML would silently take the last.

        :raises InputError: a mapping has one twice.
        """
        todo = [root]
        while todo:
            node = todo.pop()
            if node.id == "scalar" or id(node) in self._checked:
                continue
            self._checked.add(id(node))
            if node.id == "sequence":
                todo += node.value
                continue
            first: dict[tuple[str, str], Any] = {}
            for key, value in node.value:
                todo.append(value)
                if key.id != "scalar" or key.tag.endswith(":merge"):
                    continue
                before = first.setdefault((key.tag, key.value), key)
                if before is not key:
                    hint = f"first in line {before.start_mark.line + 1}; keep one of them"
                    raise InputError(f"key {key.value!r} appears twice", hint=hint, at=_place(key.start_mark))

    def _map(self, node: Any) -> tuple[dict[str, Any], list[Any]]:
        written: dict[str, Any] = {}
        merged: list[Any] = []
        for key, value in node.value:
            if key.tag.endswith(":merge"):
                merged += value.value if value.id == "sequence" else [value]
            else:
                written[key.value] = value
        self._maps[id(node)] = written, merged
        return written, merged


_reading = lru_cache(maxsize=1)(_Reading)


def _construct(node: Any) -> Yaml:
    import yaml

    class Constructor(yaml.constructor.SafeConstructor):
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except _BAD_VALUES as e:
                kind = node.tag.removeprefix("tag:yaml.org,2002:")
                raise yaml.constructor.ConstructorError(
                    None, None, f"it is not of type {kind} ({e})", node.start_mark
                ) from None

    try:
        return Constructor().construct_document(node)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or node.start_mark
        shown = (e.problem or str(e)).replace("tag:yaml.org,2002:", "!!")
        hint = "quote it, if it is meant as text"
        raise InputError(f"cloud-init could not read this: {shown}", hint=hint, at=_place(mark)) from None


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def encode(value: Yaml) -> Json:
    """``value`` as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return {KIND: "float", "text": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {KIND: "bytes", "text": base64.b64encode(value).decode()}
    if isinstance(value, date):  # a datetime is one
        return {KIND: "time" if isinstance(value, datetime) else "date", "text": value.isoformat()}
    if isinstance(value, set):
        return {KIND: "set", "items": sorted((encode(item) for item in value), key=canonical)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith(KIND) for key in value):
            return {str(key): encode(item) for key, item in value.items()}
        pairs = [(encode(key), encode(item)) for key, item in value.items()]
        return {KIND: "map", "items": [[*pair] for pair in sorted(pairs, key=lambda pair: canonical(pair[0]))]}
    if isinstance(value, Sequence):
        if value and all(isinstance(item, tuple) for item in value):
            return {KIND: "pairs", "items": [[encode(part) for part in item] for item in value]}
        return [encode(item) for item in value]
    raise TypeError(f"PyYAML makes no {type(value).__name__}")


def decode(value: Json) -> Yaml:
    """The inverse of :func:`encode`."""
    if isinstance(value, list | tuple):
        return [decode(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind, text = value.get(KIND), str(value.get("text", ""))
    items = value.get("items")
    parts: list[Any] = [decode(item) for item in items] if isinstance(items, list | tuple) else []
    match kind:
        case "float":
            return float(text)
        case "bytes":
            return base64.b64decode(text)
        case "date":
            return date.fromisoformat(text)
        case "time":
            return datetime.fromisoformat(text)
        case "set":
            return {item for item in parts if isinstance(item, Hashable)}
        case "map":
            return dict(parts)
        case "pairs":
            return Pairs((key, item) for key, item in parts)
    return {key: decode(item) for key, item in value.items()}

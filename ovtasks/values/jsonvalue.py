"""JSON values as a type, and their one canonical text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ForwardRef, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

MAX_DEPTH = 200
"""Levels of nesting. What a user may write has at most 64 (:mod:`.yamlio`)."""

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
JsonSchema: TypeAlias = dict[str, Any]
"""A JSON Schema, or a part of one."""


def canonical(value: Json) -> str:
    """The same text for equal values: sorted keys, no blanks, no escapes (UTF-8)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def state_text(value: Json, *, lines: bool = False) -> str:
    """The text of a file of ours: sorted keys, a newline at its end. ``lines``: one value a line, for people too.

    Nothing is escaped, unless a file name that is not UTF-8 stands in it: half a surrogate pair would be no text.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) if lines else canonical(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, sort_keys=True, indent=1 if lines else None)
    return text + "\n"


def digest(value: Json) -> str:
    """sha256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def parse(data: bytes | str) -> Json:
    """The value of a JSON text (bytes: UTF-8, a byte order mark may stand first).

    :raises ValueError: the text is not JSON, or holds what we never write: more than 200 levels, a key twice, NaN or
        infinity, half a surrogate pair. The message begins in lower case and says where, if that is known.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if "\\u" in text:
            canonical(value).encode()
    except json.JSONDecodeError as e:
        raise ValueError(f"not JSON: {e.msg.lower()} (line {e.lineno}, column {e.colno})") from None
    except UnicodeError:
        raise ValueError("not text in UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return value


def _constant(word: str) -> Json:
    raise ValueError(f"{word} is not a number of JSON")


def _depth(value: Json) -> int:
    """How many levels of arrays and objects."""
    depth = 0
    level: list[Json] = [value]
    while level := [one for one in level if isinstance(one, list | dict)]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


def need(value: object, *kinds: type[T]) -> T:
    """``value``, if it is of one of ``kinds``.

    :raises TypeError: it is of another type; True and False do not count as numbers.
    """
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    raise TypeError(f"not of the kind {kinds[0].__name__}")


def fields_of(value: DataclassInstance) -> dict[str, Json]:
    """All fields of a dataclass as JSON; :func:`plain` leaves out those that have their default value.

    :raises TypeError: one has no JSON form.
    """
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def plain(value: object) -> Json:
    """Turn dataclasses, tuples, paths and enums into JSON. Dataclass fields that have their default value are left out.

    :raises TypeError: the value has no JSON form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[str, Json] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            default = field.default
            if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if item != default:
                fields[field.name] = plain(item)
        return fields
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)  # a StrEnum member becomes its text
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Sequence | frozenset | set):
        return [plain(item) for item in (sorted(value) if isinstance(value, frozenset | set) else value)]
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def restore(cls: type[T], data: object) -> T:
    """The inverse of :func:`plain` for a dataclass of simple values, paths, enums, tuples and other dataclasses.

    :raises ValueError, TypeError: ``data`` does not describe a ``cls``.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"a {cls.__name__} is a mapping")
    hints: Mapping[str, Any] = _hints(cls)  # type: ignore[arg-type]
    if unknown := set(data) - set(hints):
        raise ValueError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
    return cls(**{key: _value(hints[key], item) for key, item in data.items()})


@cache
def _hints(cls: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, item: Any) -> Any:
    """``item`` as ``hint`` says. :raises ValueError, TypeError: it is no such value."""
    kinds = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    if item is None and (NoneType in kinds or hint is Any):
        return None
    for kind in kinds:
        found = _of_kind(kind, item)
        if found is not _NONE:
            return found
    raise TypeError(f"{canonical(item)[:40]} is not what belongs there")


_NONE = object()


def _of_kind(kind: Any, item: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, tuple) and isinstance(item, list):  # a NamedTuple
        return kind(*(_value(hint, one) for hint, one in zip(_hints(kind).values(), item, strict=True)))
    if origin is tuple and isinstance(item, list | tuple):
        hints = args[:1] * len(item) if args[1:] == (Ellipsis,) else args
        return tuple(_value(hint, one) for hint, one in zip(hints, item, strict=True))
    if origin is frozenset and isinstance(item, list):
        return frozenset(_value(args[0], one) for one in item)
    if origin is Mapping and isinstance(item, Mapping):
        return {_value(args[0], key): _value(args[1], one) for key, one in item.items()}
    if origin is Sequence and isinstance(item, list):
        return [_value(args[0], one) for one in item]
    if kind is Any or isinstance(kind, ForwardRef):  # the inner ones of Json
        return item
    if not isinstance(kind, type) or origin is not None:
        return _NONE
    if dataclasses.is_dataclass(kind):
        return restore(kind, item) if isinstance(item, Mapping) else _NONE
    if issubclass(kind, PurePath):
        if isinstance(item, str) and "\0" in item:
            raise ValueError("no path has a zero byte")
        return kind(item) if isinstance(item, str) else _NONE
    if issubclass(kind, Enum):
        return kind(item) if isinstance(item, str | int) else _NONE
    if isinstance(item, bool) or kind is bool:
        return item if isinstance(item, bool) and kind is bool else _NONE
    return item if isinstance(item, (int, float) if kind is float else kind) else _NONE

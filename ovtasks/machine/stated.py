"""The ``libvirt:`` block's rules that its schema states in keywords of our own, for every field alike.

``x-only``: names of fields beside (or around) → the values that this one goes with. ``x-needs``: fields that must
stand beside it. ``x-default``: what holds for a field that is not there. ``format: path`` may hold placeholders; the
ranges of ``format: numbers`` go up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ovtasks.errors import InputError
from ovtasks.values.jsonvalue import JsonSchema
from ovtasks.values.sizes import parse_size
from ovtasks.values.words import dotted, near
from ovtasks.values.yamlio import Key

PLACEHOLDERS = {
    "${vm.dir}": "the instance's folder",
    "${vm.name}": "the domain's name, ov-NAME or ov-NAME-INSTANCE",
    "${vm.sockets}": "a folder of the VM's own for sockets, with a short path",
    "${vm.project}": "the project's folder",
}
"""What a path may hold. The first two have older spellings, too."""
OLD_PLACEHOLDERS = {"{{.VmStateDir}}": "${vm.dir}", "{{.VmName}}": "${vm.name}"}

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}?|\{\{[^}]*\}?\}?")
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)

Around = tuple[tuple[Mapping[str, Any], JsonSchema], ...]


class Fault(NamedTuple):
    """What is wrong with the value at ``path`` (from ``libvirt`` on); ``key``: blame its key."""

    path: tuple[Key, ...]
    message: str
    hint: str
    key: bool = False


def stated(
    value: object, schema: JsonSchema, path: tuple[Key, ...] = ("libvirt",), around: Around = ()
) -> Iterator[Fault]:
    """What the keywords forbid. Types that the schema forbids are left to it."""
    if isinstance(value, Mapping):
        properties: JsonSchema = schema.get("properties", {})
        here = (*around, (value, properties))
        for name, item in value.items():
            if (below := properties.get(name)) is not None:
                yield from _beside(name, below, (*path, name), here)
                yield from stated(item, below, (*path, name), here)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from stated(item, schema.get("items", {}), (*path, index), around)
    else:
        yield from _leaf(value, schema, path)


def text(value: object) -> str:
    """A value as the table's words are written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _beside(name: str, schema: JsonSchema, path: tuple[Key, ...], around: Around) -> Iterator[Fault]:
    for key, allowed in schema.get("x-only", {}).items():
        value = _value(key, around)
        if value is not None and not isinstance(value, Mapping | list) and text(value) not in allowed:
            words = " or ".join(allowed)
            message = f"{dotted(path)} goes with {key}: {words}, not with {text(value)}"
            yield Fault(path, message, f"{key}: {allowed[0]}, or remove {name}", key=True)
    for key in schema.get("x-needs", ()):
        if key not in around[-1][0]:
            parent = dotted(path[:-1])
            yield Fault(path, f"'{key}' is missing in {parent}: {name} needs it", f"add {key}, or remove {name}", True)


def _value(key: str, around: Around) -> object:
    """The value of the nearest ``key`` (``model.type``: of the one in the nearest ``model``), else its default."""
    first, _, rest = key.partition(".")
    value: object = None
    schema: JsonSchema = {}
    for block, properties in reversed(around):
        if first in properties:
            value, schema = block.get(first), properties[first]
            break
    if rest:
        value = value.get(rest) if isinstance(value, Mapping) else None
        schema = schema.get("properties", {}).get(rest, {})
    return schema.get("x-default") if value is None else value


def _leaf(value: object, schema: JsonSchema, path: tuple[Key, ...]) -> Iterator[Fault]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(value, str) and _WHOLE.fullmatch(value) and (least is not None or most is not None):
        if least is not None and int(value) < least:
            yield Fault(path, f"{dotted(path)} is {value}, but must be at least {least}", schema.get("description", ""))
        elif most is not None and int(value) > most:
            yield Fault(path, f"{dotted(path)} is {value}, but must be at most {most}", schema.get("description", ""))
    if schema.get("format") == "size" and isinstance(value, str) and re.search(schema["pattern"], value):
        try:
            parse_size(value, bare=1)
        except InputError as e:
            yield Fault(path, f"{dotted(path)}: {e.message}", e.hint or "")
    if schema.get("format") == "numbers" and isinstance(value, str):
        for first, last in _RANGE.findall(value):
            if int(first) > int(last):
                yield Fault(path, f"{dotted(path)}: {first}-{last} goes down", f"{last}-{first}")
    if schema.get("format") == "path" and isinstance(value, str):
        yield from _placeholders(value, path)


def _placeholders(value: str, path: tuple[Key, ...]) -> Iterator[Fault]:
    for word in _PLACEHOLDER.findall(value):
        if _placeholder(word) not in PLACEHOLDERS:
            guess = near(word, [*PLACEHOLDERS, *OLD_PLACEHOLDERS])
            hint = f"did you mean {guess}?" if guess else f"known are {', '.join(PLACEHOLDERS)}"
            yield Fault(path, f"{dotted(path)}: {word} is no placeholder", hint)


def _placeholder(word: str) -> str:
    return OLD_PLACEHOLDERS.get(word.replace(" ", ""), word)


def expand(value: str, words: Mapping[str, str]) -> str:
    """``value`` with its placeholders replaced by ``words`` (``${vm.dir}`` → …); others stay as they are."""
    return _PLACEHOLDER.sub(lambda found: words.get(_placeholder(found[0]), found[0]), value)

"""The spec's ``libvirt:`` mapping, checked and with every value as it is written in XML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.field import Block, Field, Items, Node, Words
from ovtasks.machine.machine import Machine
from ovtasks.machine.rules import block_rules
from ovtasks.machine.schema import schema
from ovtasks.machine.stated import Fault, expand, stated
from ovtasks.machine.table import LIBVIRT
from ovtasks.values.jsonvalue import Json
from ovtasks.values.words import dotted, near
from ovtasks.values.yamlio import Key

Read: TypeAlias = Mapping[str, "str | Read | Sequence[Read] | Sequence[str]"]
"""The mapping by the spec's names, with the XML's text at the leaves. Lists are of mappings, or of texts."""
Value: TypeAlias = "str | Read | Sequence[Read] | Sequence[str]"
Path: TypeAlias = tuple[Key, ...]


def read(libvirt: Mapping[str, Json], words: Mapping[str, str] | None = None) -> Read:
    """The block with every value as XML text. ``words`` are what placeholders of paths stand for.

    :raises InputError: an unknown field, a value that a field cannot have, fields that contradict each other; each is
        named by its path and carries it. Several at once are InputErrors.
    """
    reader = _Reader(words or {})
    found = reader.mapping(libvirt, LIBVIRT, ("libvirt",))
    errors = reader.errors
    if not errors:
        faults: list[Fault] = [*stated(libvirt, schema()), *block_rules(libvirt)]
        errors = [InputError(one.message, hint=one.hint, field=one.path) for one in faults]
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    return found


def read_machine(machine: Machine) -> Read:
    """The machine's block, with the placeholders of its paths filled in.

    :raises InputError: as :func:`read`.
    """
    words = {
        "${vm.dir}": str(machine.disk.parent),
        "${vm.name}": machine.domain,
        "${vm.sockets}": str(machine.sockets),
        "${vm.project}": str(machine.project),
    }
    return read(machine.libvirt, words)


class _Reader:
    """Collects the errors of one reading."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words
        self.errors: list[InputError] = []

    def fail(self, path: Path, message: str, hint: str) -> None:
        self.errors.append(InputError(f"{dotted(path)} {message}", hint=hint, field=path))

    def mapping(self, value: Json, block: Block, path: Path) -> dict[str, Value]:
        found: dict[str, Value] = {}
        if not isinstance(value, Mapping):
            self.fail(path, "is not a mapping", f"{dotted(path)} has the keys {', '.join(block.fields)}")
            return found
        value = self._with_units(value, block)
        for key, item in value.items():
            node = block.fields.get(key)
            if node is not None:
                self._node(key, item, node, (*path, key), found)
                continue
            guess = near(str(key), block.fields)
            hint = f"did you mean '{guess}'?" if guess else f"known keys: {', '.join(block.fields)}"
            message = f"unknown key '{key}' in {dotted(path)}"
            self.errors.append(InputError(message, hint=hint, field=(*path, str(key))))
        for key, node in block.fields.items():
            if isinstance(node, Field | Block) and node.required and key not in value:
                message = f"'{key}' is missing in {dotted(path)}"
                self.errors.append(InputError(message, hint=f"{key}: {node.doc}", field=path))
        return found

    def _with_units(self, value: Mapping[str, Json], block: Block) -> Mapping[str, Json]:
        for name, unit in block.suffix.items():
            if unit in value and name in value:
                kind = block.fields[unit]
                assert isinstance(kind, Field)
                word = kind.kind.parse(value[unit])
                if word is not None and str(value[name]).isdigit():
                    rest = {key: item for key, item in value.items() if key != unit}
                    return {**rest, name: f"{value[name]}{word}"}
        return value

    def _node(self, key: str, value: Json, node: Node, path: Path, found: dict[str, Value]) -> None:
        if isinstance(node, Block):
            found[key] = self.mapping(value, node, path)
        elif isinstance(node, Items):
            found[key] = [self.mapping(item, node.block, place) for item, place in self._items(value, node, path)]
        elif isinstance(node, Words):
            found[key] = [text for item, place in self._list(value, path) if (text := self._text(item, node, place))]
            if len(found[key]) < node.least:
                self.fail(path, f"has fewer than {node.least} items", node.doc)
        elif (text := self._text(value, node, path)) is not None:
            found[key] = text

    def _text(self, value: Json, node: Field | Words, path: Path) -> str | None:
        text = node.kind.parse(value)
        if text is None:
            self.fail(path, f"cannot be {value!r}", f"it is {node.kind.words}")
        elif node.kind.path:
            return expand(text, self.words)
        return text

    def _list(self, value: Json, path: Path) -> list[tuple[Json, Path]]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.fail(path, "is not a list", f"{path[-1]}: […]")
            return []
        return [(item, (*path, index)) for index, item in enumerate(value)]

    def _items(self, value: Json, node: Items, path: Path) -> list[tuple[Json, Path]]:
        if node.short is None:
            return self._list(value, path)
        listed = [(value, path)] if isinstance(value, str | Mapping) else self._list(value, path)
        # an empty text: nobody listens
        return [
            ({node.short: item} if item else {"type": "none"}, place) if isinstance(item, str) else (item, place)
            for item, place in listed
        ]

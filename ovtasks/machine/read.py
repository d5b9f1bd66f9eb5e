"""The spec's ``libvirt:`` mapping → one checked tree, from which everything else works.

Each block is read once: the same content gives the same tree.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.field import Block, Field, Items, Node, Words
from ovtasks.machine.machine import Machine
from ovtasks.machine.placeholders import expand
from ovtasks.machine.row_rules import row_faults
from ovtasks.machine.rules import block_rules
from ovtasks.machine.table import LIBVIRT
from ovtasks.machine.tree import ROOT, Fault, Place, Tree, Value
from ovtasks.values.jsonvalue import Json
from ovtasks.values.words import dotted, near


@dataclass(frozen=True)
class BlockReading:
    """``tree`` has every valid value. ``wrong`` are unknown keys and invalid values, which the JSON Schema refuses,
    too; ``faults`` are those that no JSON Schema can find."""

    tree: Tree
    wrong: tuple[Fault, ...]
    faults: tuple[Fault, ...]


def reading(libvirt: Mapping[str, Json]) -> BlockReading:
    """The block with every value as XML text, and all that is wrong with it. Never raises."""
    try:
        content = marshal.dumps(dict(libvirt), 2)  # newer versions also record which parts are shared
    except ValueError:  # too deep, or of a type that no file holds
        return _read(libvirt)
    return _read_content(content)


@lru_cache(maxsize=64)
def _read_content(content: bytes) -> BlockReading:
    return _read(marshal.loads(content))


def _read(libvirt: Mapping[str, Json]) -> BlockReading:
    reader = _Reader()
    tree = reader.mapping(libvirt, LIBVIRT, ROOT)
    faults = (*reader.faults, *row_faults(tree, LIBVIRT), *block_rules(tree))
    return BlockReading(tree, tuple(reader.wrong), faults)


def read(libvirt: Mapping[str, Json]) -> Tree:
    """The block as a tree, once all of it is found right.

    :raises InputError: an unknown field, an invalid value, or fields that contradict each other. Each error names its
        field and carries the path; several come as InputErrors.
    """
    found = reading(libvirt)
    errors = [InputError(one.message, hint=one.hint, field=one.path) for one in found.wrong or found.faults]
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    return found.tree


def block_of(machine: Machine) -> Tree:
    """The machine's block, with the placeholders of its paths filled in.

    :raises InputError: as :func:`read`.
    """
    words = {
        "${vm.dir}": str(machine.disk.parent),
        "${vm.name}": machine.domain,
        "${vm.sockets}": str(machine.sockets),
        "${vm.project}": str(machine.project),
    }
    found: Tree = _filled(read(machine.libvirt), LIBVIRT, words)
    return found


def _filled(tree: Tree, block: Block, words: Mapping[str, str]) -> Tree:
    found: dict[str, Value] = {}
    for key, value in tree.value.items():
        node = block.fields[key]
        if isinstance(node, Field | Words):
            found[key] = _expanded(value, words) if node.kind.path else value
        elif isinstance(value, Tree):
            found[key] = _filled(value, node.block if isinstance(node, Items) else node, words)
        else:
            below = node.block if isinstance(node, Items) else node
            found[key] = [_filled(one, below, words) for one in value if isinstance(one, Tree)]
    return Tree(found, tree.place)


def _expanded(value: Value, words: Mapping[str, str]) -> Value:
    if isinstance(value, str):
        return expand(value, words)
    return value if isinstance(value, Tree) else [expand(one, words) for one in value if isinstance(one, str)]


class _Reader:
    """Collects what is wrong with one block."""

    def __init__(self) -> None:
        self.wrong: list[Fault] = []
        self.faults: list[Fault] = []

    def fail(self, path: Place, message: str, hint: str) -> None:
        self.wrong.append(Fault(path, f"{dotted(path)} {message}", hint))

    def mapping(self, value: Json, block: Block, path: Place) -> Tree:
        found: dict[str, Value] = {}
        if not isinstance(value, Mapping):
            self.fail(path, "is not a mapping", f"{dotted(path)} has the keys {', '.join(block.fields)}")
            return Tree({}, path)
        value = _with_units(value, block)
        bad, written = set(), {}
        for key, item in value.items():
            node = block.fields.get(key)
            if node is None:
                self.unknown(key, block, path)
            elif (read := self.node(item, node, (*path, key))) is not None:
                found[key] = read
                if isinstance(node, Field) and item in node.kind.other:
                    written[key] = str(item)
            elif item is not None:
                bad.add(key)
        for key, node in block.fields.items():
            if isinstance(node, Field | Block) and node.required and key not in value:
                message = f"'{key}' is missing in {dotted(path)}"
                self.wrong.append(Fault(path, message, f"{key}: {node.doc}"))
        return Tree(found, path, frozenset(bad), written)

    def unknown(self, key: object, block: Block, path: Place) -> None:
        guess = near(str(key), block.fields)
        hint = f"did you mean '{guess}'?" if guess else f"known keys: {', '.join(block.fields)}"
        self.wrong.append(Fault((*path, str(key)), f"unknown key '{key}' in {dotted(path)}", hint))

    def node(self, value: Json, node: Node, path: Place) -> Value | None:
        if isinstance(node, Block):
            found = self.mapping(value, node, path)
            return found if isinstance(value, Mapping) else None
        if isinstance(node, Items):
            listed = self.items(value, node, path)
            if listed is None:
                return None
            trees = [(self.mapping(item, node.block, place), item) for item, place in listed]
            return [tree for tree, item in trees if isinstance(item, Mapping)]
        if isinstance(node, Field):
            return self.text(value, node, path)
        texts = self.listed(value, path)
        if texts is None:
            return None
        if len(texts) < node.least:
            self.fail(path, f"has fewer than {node.least} items", node.doc)
        return [text for item, place in texts if (text := self.text(item, node, place)) is not None]

    def text(self, value: Json, node: Field | Words, path: Place) -> str | None:
        text = node.kind.parse(value)
        if text is None:
            self.fail(path, f"cannot be {value!r}", f"it is {node.kind.words}")
        for message, hint in node.kind.unsaid(value):
            self.faults.append(Fault(path, f"{dotted(path)}{message}", hint or node.doc))
        return text

    def listed(self, value: Json, path: Place) -> list[tuple[Json, Place]] | None:
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.fail(path, "is not a list", f"{path[-1]}: […]")
            return None
        return [(item, (*path, index)) for index, item in enumerate(value)]

    def items(self, value: Json, node: Items, path: Place) -> list[tuple[Json, Place]] | None:
        if node.short is None:
            return self.listed(value, path)
        listed = [(value, path)] if isinstance(value, str | Mapping) else self.listed(value, path)
        if listed is None:
            return None
        # an empty text means that nothing listens
        return [
            ({node.short: item} if item else {"type": "none"}, place) if isinstance(item, str) else (item, place)
            for item, place in listed
        ]


def _with_units(value: Mapping[str, Json], block: Block) -> Mapping[str, Json]:
    """Append to each number the unit that stands in a field beside it."""
    for name, unit in block.suffix.items():
        if unit in value and name in value:
            kind = block.fields[unit]
            assert isinstance(kind, Field)
            word = kind.kind.parse(value[unit])
            if word is not None and str(value[name]).isdigit():
                rest = {key: item for key, item in value.items() if key != unit}
                return {**rest, name: f"{value[name]}{word}"}
    return value

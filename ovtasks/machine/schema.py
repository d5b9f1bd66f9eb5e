"""The table → JSON Schema, for editors and for the check of the spec.

``x-only``, ``x-needs`` and ``x-default`` are keywords of our own: :mod:`ovtasks.machine.row_rules` checks the same.
"""

from __future__ import annotations

from functools import cache

from ovtasks.machine.field import Block, Field, Items, Node, Version, Words, beside
from ovtasks.machine.table import LIBVIRT
from ovtasks.values.jsonvalue import JsonSchema


@cache
def schema() -> JsonSchema:
    """The schema of the whole block."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://ovtasks.invalid/schemas/libvirt.schema.json",
        "title": "libvirt",
        **_node(LIBVIRT),
    }


def _node(node: Node) -> JsonSchema:
    made = _shape(node)
    only, needs = beside(node)
    if only:
        made["x-only"] = {key: list(values) for key, values in only.items()}
    if needs:
        made["x-needs"] = list(needs)
    return made


def _shape(node: Node) -> JsonSchema:
    if isinstance(node, Field):
        return _field(node)
    if isinstance(node, Block):
        return _block(node)
    if isinstance(node, Words):
        words: JsonSchema = {"type": "array", "description": node.doc, "items": dict(node.kind.schema)}
        return words | ({"minItems": node.least} if node.least else {})
    item = _block(node.block)
    listed: JsonSchema = {"type": "array", "description": item.pop("description"), "items": item}
    if not node.short:
        return listed
    short = node.block.fields[node.short]
    assert isinstance(short, Field)
    item |= {"pattern": f"^$|{short.kind.schema['pattern']}"}
    item |= {"patternErrorMessage": short.kind.schema["patternErrorMessage"]}
    # a text, a mapping, or a list of these: a keyword for one type ignores values of the others
    item["type"] = ["object", "string"]
    return {**item, "type": ["string", "object", "array"], "items": item, "description": listed["description"]}


def _field(field: Field) -> JsonSchema:
    made: JsonSchema = {**field.kind.schema, "description": field.doc + _since(field.since)}
    for value, version in field.since_values.items():
        made["description"] += f" {value}: {_version(version)}."
    if (default := field.default or field.assumed) is not None:
        made["default"] = default
        made["x-default"] = default
    return made


def _block(block: Block) -> JsonSchema:
    made: JsonSchema = {
        "type": "object",
        "description": block.doc + _since(block.since),
        "additionalProperties": False,
        "properties": {name: _node(node) for name, node in block.fields.items()},
    }
    if required := [name for name, node in block.fields.items() if not isinstance(node, Words) and _required(node)]:
        made["required"] = required
    return made


def _required(node: Field | Block | Items) -> bool:
    return node.block.required if isinstance(node, Items) else node.required


def _since(version: Version | None) -> str:
    return f" ({_version(version)})" if version else ""


def _version(version: Version) -> str:
    return f"libvirt {version[0]}.{version[1]} or newer"

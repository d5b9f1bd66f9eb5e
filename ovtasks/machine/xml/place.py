"""Turns the values of a tree into elements, by the table's declarations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from ovtasks.machine.field import Block, Field, Items, Words
from ovtasks.machine.tree import Tree, Value

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)(?:\[([a-z]+)=([^\]]+)\])?")


def sub(parent: ET.Element, tag: str, attributes: Mapping[str, str | None] | None = None, text: str = "") -> ET.Element:
    """A child element; attributes that are None are left out."""
    child = ET.SubElement(parent, tag, {k: v for k, v in (attributes or {}).items() if v is not None})
    child.text = text or None
    return child


def ensure(parent: ET.Element, path: str) -> ET.Element:
    """The element at ``path`` below ``parent``, made if it is missing; ``""`` is the parent itself."""
    for tag, key, value in _STEP.findall(path):
        found = parent.find(f"{tag}[@{key}='{value}']" if key else tag)
        parent = sub(parent, tag, {key: value} if key else None) if found is None else found
    return parent


def fill(element: ET.Element, block: Block, values: Tree) -> None:
    """Put the block's ``values`` into ``element``, with its defaults. Computed fields are left out."""
    for name, node in block.fields.items():
        value = values.get(name)
        if isinstance(node, Field):
            text = node.default if value is None else value
            if isinstance(text, str) and not node.computed:
                put(element, node, text)
        elif value is not None and not (node.block.computed if isinstance(node, Items) else node.computed):
            _below(element, node, value)


def put(element: ET.Element, field: Field, text: str) -> None:
    """Put one value in its place."""
    path, at, attribute = field.at.partition("@")
    if path.endswith("?"):
        if text in {"yes", "on"}:
            ensure(element, path[:-1])
        return
    target = ensure(element, path)
    for key, fixed in field.fixed.items():
        target.set(key, fixed)
    if at:
        target.set(attribute, text)
    else:
        target.text = text


def make(element: ET.Element, items: Items) -> ET.Element:
    """Add one more element of a list, still empty."""
    parent, _, tag = items.block.at.rpartition("/")
    return sub(ensure(element, parent), tag, items.block.fixed)


def _below(element: ET.Element, node: Block | Items | Words, value: Value) -> None:
    if isinstance(node, Block):
        if isinstance(value, Tree) and (value or node.bare):
            below = ensure(element, node.at)
            for key, fixed in node.fixed.items():
                below.set(key, fixed)
            fill(below, node, value)
        return
    for item in () if isinstance(value, Tree) else value:
        if isinstance(node, Words):
            parent, _, tag = node.at.rpartition("/")
            sub(ensure(element, parent), tag, text=str(item))
        elif isinstance(item, Tree):
            fill(make(element, node), node.block, item)

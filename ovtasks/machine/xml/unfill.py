"""Reads what :mod:`.place` writes: an element → the values of a block, by the same declarations.

A declaration does not say everything (several fields may share a place), so what is read here is a proposal. Who uses
it renders it again and compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.kinds import Kind
from ovtasks.values.jsonvalue import Json

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)(?:\[([a-z]+)=([^\]]+)\])?")


def values_of(element: ET.Element, block: Block, *, absent: bool = False) -> dict[str, Json]:
    """The values of ``block`` that stand in ``element``. What is written without being asked for is left out.

    With ``absent`` an empty element that is not there is a value, too: no.
    """
    found = {name: _value(element, node) for name, node in block.fields.items()}
    if absent:
        for name, node in block.fields.items():
            if found[name] is None and isinstance(node, Field) and node.at.endswith("?"):
                found[name] = next((one for one in (False, "off", "no") if node.kind.parse(one) is not None), None)
    return {name: value for name, value in found.items() if value is not None}


def _value(element: ET.Element, node: Node) -> Json | None:
    if isinstance(node, Field):
        return _of_field(element, node)
    if isinstance(node, Block):
        below = _at(element, node.at)
        if below is None or any(below.get(key) != value for key, value in node.fixed.items()):
            return None
        return values_of(below, node) or ({} if node.bare else None)
    if isinstance(node, Items):
        return [values_of(one, node.block) for one in _all(element, node)] or None
    texts = [spelled(node.kind, one.text or "") for one in element.findall(node.at)] if node.at else []
    return [text for text in texts if text is not None] or None


def _of_field(element: ET.Element, field: Field) -> Json | None:
    path, at, attribute = field.at.partition("@")
    if path.endswith("?"):
        return True if element.find(path[:-1]) is not None else None
    place = _at(element, path)
    if place is None or any(place.get(key) != value for key, value in field.fixed.items()):
        return None
    text = place.get(attribute) if at else (place.text or "").strip() or None
    if text is None or (text == field.default and not field.computed):
        return None
    return spelled(field.kind, text)


def _all(element: ET.Element, items: Items) -> Iterator[ET.Element]:
    for one in element.findall(items.block.at):
        if all(one.get(key) == value for key, value in items.block.fixed.items()):
            yield one


def _at(element: ET.Element, path: str) -> ET.Element | None:
    """The element at ``path``; ``""`` is the element itself."""
    found: ET.Element | None = element
    for tag, key, value in _STEP.findall(path):
        found = None if found is None else found.find(f"{tag}[@{key}='{value}']" if key else tag)
    return found


def spelled(kind: Kind, text: str) -> Json | None:
    """How a spec says what is ``text`` in XML; None: this kind never is."""
    plain: Json = int(text) if "integer" in kind.types and text.isascii() and text.isdecimal() else text
    truth: tuple[Json, ...] = (True, False) if text in {"yes", "no", "on", "off"} else ()
    guesses = (*truth, plain, text, *kind.spellings)
    return next((one for one in guesses if kind.parse(one) == text), None)

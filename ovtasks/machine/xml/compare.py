"""Compares elements by what they say: order of attributes, blanks and the order of children do not count."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from xml.etree import ElementTree as ET


def same(one: ET.Element, other: ET.Element) -> bool:
    """Whether both say the same."""
    return covers(one, other) and covers(other, one)


def covers(one: ET.Element, other: ET.Element) -> bool:
    """Whether ``one`` says all that ``other`` says, and maybe more."""
    if one.tag != other.tag or any(one.get(key) != value for key, value in other.items()):
        return False
    text = (other.text or "").strip()
    return (not text or (one.text or "").strip() == text) and not uncovered([*one], [*other])


def uncovered(have: Sequence[ET.Element], wanted: Sequence[ET.Element]) -> list[ET.Element]:
    """Those of ``wanted`` that no element of ``have`` covers; each covers one."""
    free, left = [*have], []
    for element in wanted:
        found = next((one for one in free if one.tag == element.tag and same(one, element)), None)
        found = found if found is not None else next((one for one in free if covers(one, element)), None)
        if found is None:
            left.append(element)
        else:
            free.remove(found)
    return left


def beyond(one: ET.Element, other: ET.Element) -> ET.Element:
    """A copy of ``one`` without the elements below it that ``other`` has as well."""
    rest = copy.deepcopy(one)
    for child in [*rest]:
        mine = other.find(child.tag)
        if any(same(child, theirs) for theirs in other):
            rest.remove(child)
        elif mine is not None and len(child):
            rest.insert([*rest].index(child), beyond(child, mine))
            rest.remove(child)
    return rest

"""A YAML text as nodes that know where they stand, so that an edit changes their characters and no others.

The parser is the one that reads the user's files. Writing a whole file anew, be it by ruamel.yaml, would lay out again
what nobody asked to change: line ends, columns of comments, the spaces of a flow mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_KEEPS = re.compile(r"(?:[&!]\S*\s+)*[|>][1-9]?\+")
SINGLE = ("vm", "image", "box")
NOTHING = ("~", "null", "Null", "NULL")


@dataclass(eq=False)
class YamlNode:
    """One value or key: ``text[start:end]``, without the comments behind it. An alias has its anchor's ``target``."""

    kind: str
    start: int
    end: int
    value: str = ""
    flow: bool = False
    anchor: str | None = None
    pairs: list[tuple[YamlNode, YamlNode]] = field(default_factory=list)
    items: list[YamlNode] = field(default_factory=list)
    target: YamlNode | None = None

    def get(self, *names: str) -> tuple[YamlNode, YamlNode] | None:
        """The key and value of the first of ``names`` that the mapping has of its own (not merged)."""
        for name in names:
            for pair in self.pairs:
                if pair[0].value == name:
                    return pair
        return None

    def walk(self) -> Iterator[YamlNode]:
        """The node and all below it. What an alias repeats is not below it."""
        yield self
        for key, value in self.pairs:
            yield key
            yield from value.walk()
        for item in self.items:
            yield from item.walk()


def entries(section: tuple[YamlNode, YamlNode] | None) -> list[tuple[YamlNode, YamlNode]]:
    """Name and value of each entry of ``vms:``, ``images:``… ``vm:`` and ``image:`` may hold one, with its ``name``."""
    if section is None or section[1].kind != "map":
        return []
    name = section[1].get("name")
    single = section[0].value in SINGLE and name is not None and name[1].kind == "scalar"
    return [(name[1], section[1])] if single and name else section[1].pairs


def filled(text: str) -> list[YamlNode]:
    """The documents that hold something: those that :func:`ovtasks.values.yamlio.parse_yaml` returns."""
    return [node for node in nodes(text) if node.kind != "scalar" or node.value not in {"", *NOTHING}]


def nodes(text: str) -> list[YamlNode]:
    """The documents of a text that :func:`ovtasks.values.yamlio.parse_yaml` has accepted."""
    import yaml

    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the one of parse_yaml
    anchors: dict[str, YamlNode] = {}
    found: list[YamlNode] = []
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
            found.append(_node(next(events), events, text, anchors))
    return found


def _node(event: Any, events: Iterator[Any], text: str, anchors: dict[str, YamlNode]) -> YamlNode:
    import yaml

    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        name = event.anchor or ""
        return YamlNode("alias", start, end, name, target=anchors[name])
    if isinstance(event, yaml.ScalarEvent):
        if event.style in {"|", ">"}:  # it ends before the line break, and its last empty lines are its own after a +
            written = text[start:end]
            end = start + len(written.removesuffix("\n") if _KEEPS.match(written) else written.rstrip())
        node = YamlNode("scalar", start, end, event.value, anchor=event.anchor)
    else:
        is_map = isinstance(event, yaml.MappingStartEvent)
        node = YamlNode("map" if is_map else "list", start, start, flow=event.flow_style, anchor=event.anchor)
        closing = yaml.MappingEndEvent if is_map else yaml.SequenceEndEvent
        while not isinstance(inner := next(events), closing):
            one = _node(inner, events, text, anchors)
            if is_map:
                node.pairs.append((one, _node(next(events), events, text, anchors)))
            else:
                node.items.append(one)
        parts = [*node.items, *(part for pair in node.pairs for part in pair)]
        closed: Any = inner
        node.end = closed.end_mark.index if node.flow else max((part.end for part in parts), default=start)
    if node.anchor:
        anchors[node.anchor] = node
    return node

"""What a field of the ``libvirt:`` block is: its values, its place in the XML, the fields it belongs to.

Places are relative to the element of the block that the field stands in: ``driver@type`` is an attribute,
``iotune/group_name`` an element's text, ``readonly?`` an empty element that is there when the value is yes;
``entry[name=serial]`` is an element with a fixed attribute. ``""`` is the block's own element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ovtasks.machine.kinds import Kind

Only: TypeAlias = Mapping[str, tuple[str, ...]]
"""The name of another field, beside this one or beside a block around it → its values that this field goes with."""
Version: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """One value.

    ``default`` is written when the field is missing; ``assumed`` is what libvirt takes then. ``only`` says which values
    of other fields it goes with; ``needs`` are fields that must stand beside it. ``fixed`` are attributes that come
    with the value, on the same element. ``since`` is the first libvirt that knows it, where that is newer than 9.0.
    ``computed``: code beside the declaration puts it into the XML; ``at`` is where. ``known`` names the enum of
    ``domcapabilities`` that lists the values of this host, and what errors call such a value. ``qemu``: the backend
    qemu refuses it always (``never``), under emulation (``kvm``) or under KVM (``tcg``); a test checks that.
    """

    kind: Kind
    at: str
    doc: str
    default: str | None = None
    assumed: str | None = None
    required: bool = False
    only: Only = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    since: Version | None = None
    computed: bool = False
    since_values: Mapping[str, Version] = field(default_factory=dict)
    known: tuple[str, str] | None = None
    qemu: str = ""


@dataclass(frozen=True)
class Block:
    """A mapping. Its element is made when there is something to put into it; ``bare``: also for an empty mapping.

    ``suffix``: a field's name → the field that holds its unit, for a value without one. ``qemu`` means the same as in
    :class:`Field`, for all fields below.
    """

    at: str
    doc: str
    fields: Mapping[str, Node]
    only: Only = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    since: Version | None = None
    required: bool = False
    bare: bool = False
    computed: bool = False
    suffix: Mapping[str, str] = field(default_factory=dict)
    qemu: str = ""


@dataclass(frozen=True)
class Items:
    """A list of mappings; each becomes an element. ``short`` is the field that a plain text sets."""

    block: Block
    short: str | None = None


@dataclass(frozen=True)
class Words:
    """A list of texts; each becomes an element."""

    kind: Kind
    at: str
    doc: str
    only: Only = field(default_factory=dict)
    least: int = 0
    computed: bool = False
    qemu: str = ""


Node: TypeAlias = Field | Block | Items | Words


def beside(node: Node) -> tuple[Only, tuple[str, ...]]:
    """A node's ``only`` and ``needs``."""
    if isinstance(node, Items):
        return beside(node.block)
    return node.only, () if isinstance(node, Words) else node.needs


def without_libvirt(block: Block, path: str = "", above: str = "") -> Iterator[tuple[str, str]]:
    """The fields that the backend qemu refuses, below ``block``: their paths; ``never``, ``kvm`` or ``tcg`` is when."""
    for name, node in block.fields.items():
        inner = node.block if isinstance(node, Items) else node
        qemu = inner.qemu or above
        if isinstance(inner, Block):
            yield from without_libvirt(inner, f"{path}{name}.", qemu)
        elif qemu:
            yield f"{path}{name}", qemu

"""libvirt's domain XML → the ``libvirt:`` block that gives it.

The rows of the table say where each value stands, so they are read backwards (:mod:`.unfill`). Whether a proposal is
right is tried: the machine is rendered with it, and the result must say what the domain said. What no row can say
becomes a snippet, and what no snippet can say is left out and named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import EVERY_HOST, HostFeatures
from ovtasks.machine.machine import Machine
from ovtasks.machine.read import reading
from ovtasks.machine.table import DEVICES as DEVICE_ROWS
from ovtasks.machine.table import LIBVIRT
from ovtasks.machine.tree import Fault
from ovtasks.machine.xml.compare import beyond, uncovered
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.machine.xml.merge import own_snippets
from ovtasks.machine.xml.names import QEMU_NAMESPACE
from ovtasks.machine.xml.unfill import spelled, values_of
from ovtasks.values.jsonvalue import Json

LibvirtBlock = dict[str, Any]

NOT_OURS = frozenset(
    {"name", "uuid", "title", "metadata", "memory", "currentMemory", "maxMemory", "vcpu", "os", "devices"}
)
"""Children of ``<domain>`` that other fields of a VM decide."""
_MOST_FAULTS = 20
_SAME = 2


@dataclass
class ReadDomain:
    """``libvirt`` is the block; ``as_xml`` names the elements that became snippets, ``left_out`` those that nothing of
    ours can say."""

    libvirt: LibvirtBlock = field(default_factory=dict)
    as_xml: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_domain(domain: ET.Element, machine: Machine, host: HostFeatures = EVERY_HOST) -> ReadDomain:
    """The block with which ``machine`` says what ``domain`` says about its devices and settings.

    ``machine`` has the domain's processors, memory and architecture; its own ``libvirt`` and ``snippets`` do not count.
    """
    return _DomainReader(domain, machine, host).done()


@dataclass(frozen=True)
class _Portion:
    """Elements of one name, below ``<domain>`` or below its ``<devices>``. ``keys`` are the table's rows for them."""

    tag: str
    wanted: tuple[ET.Element, ...]
    keys: tuple[str, ...]
    device: bool

    def of(self, root: ET.Element) -> list[ET.Element]:
        return root.findall(f"devices/{self.tag}" if self.device else self.tag)


Proposal = tuple[LibvirtBlock | None, Sequence[ET.Element]]
"""A block (None: there is none), and the elements that became snippets of it."""
Ways = Callable[[LibvirtBlock, _Portion, Sequence[ET.Element]], Iterator[Proposal]]


class _DomainReader:
    """Each part of the domain is taken by the first of its proposals that says the same, or at least all of it."""

    def __init__(self, domain: ET.Element, machine: Machine, host: HostFeatures) -> None:
        self.machine, self.host = machine, host
        self.parts = [*_parts(domain)]
        self.taken: list[_Portion] = []
        self.found = ReadDomain()
        self._known: dict[str, ET.Element | None] = {}

    def done(self) -> ReadDomain:
        """Rows come first. Some are valid only beside others (a disk's ``iothread``), so they are tried again."""
        parts = self.parts
        for ways in (_rows, _rows, _rows, _all_ways):
            parts = [part for part in parts if not self._take(part, ways)]
        for part in parts:
            self._one_by_one(part)
        return self.found

    def _take(self, part: _Portion, ways: Ways) -> bool:
        """Take the part as well as it can be said; returns False if it cannot."""
        now = self._rendered(self.found.libvirt)
        have = [] if now is None else part.of(now)
        tried = [(block, xml) for block, xml in ways(self.found.libvirt, part, have) if block is not None]
        best, found, written = 0, self.found.libvirt, tried[0][1]
        for block, xml in tried:
            score = self._score(part, block)
            if score > best:
                best, found, written = score, block, xml
            if best == _SAME:
                break
        if best == 0:
            return False
        self.found.libvirt = found
        self.found.as_xml += [_name(one) for one in written]
        self.taken.append(part)
        return True

    def _score(self, part: _Portion, block: LibvirtBlock) -> int:
        """2: the elements say the same; 1: they say all of it, and more; 0: they do not."""
        root = self._rendered(block)
        if root is None or uncovered(part.of(root), part.wanted):
            return 0
        if any(uncovered(one.of(root), one.wanted) for one in self.taken):
            return 0  # what was taken before is no longer there
        return 1 if uncovered(part.wanted, part.of(root)) else _SAME

    def _one_by_one(self, part: _Portion) -> None:
        """Take of the part what can be said."""
        said: list[ET.Element] = []
        for element in part.wanted:
            now = self.found.libvirt
            alone = replace(part, wanted=(*said, element))
            rows, xml = _by_rows(now, part, [element]), _by_snippets(now, [element])
            fits = [one for one in (now, rows, xml) if one is not None and self._covered(alone, one)]
            if not fits:
                self.found.left_out.append(_name(element))
                continue
            self.found.libvirt = fits[0]
            said.append(element)
            if fits[0] is xml:
                self.found.as_xml.append(_name(element))

    def _covered(self, part: _Portion, block: LibvirtBlock) -> bool:
        root = self._rendered(block)
        return root is not None and not uncovered(part.of(root), part.wanted)

    def _rendered(self, block: LibvirtBlock) -> ET.Element | None:
        """The domain with this block; None: it is not valid."""
        key = repr(block)
        if key not in self._known:
            try:
                machine = replace(self.machine, libvirt=block, snippets=own_snippets(block))
                self._known[key] = ET.fromstring(domain_xml(machine, self.host))
            except InputError:
                self._known[key] = None
        return self._known[key]


def _rows(now: LibvirtBlock, part: _Portion, have: Sequence[ET.Element]) -> Iterator[Proposal]:
    """Nothing, where we write it anyway; else what we do not write; else everything; else what is not there, too."""
    yield now, ()
    new = [one for one in uncovered(have, part.wanted) if not any(_is_same_device(part, one, ours) for ours in have)]
    yield _by_rows(now, part, new), ()
    yield _by_rows(now, part, part.wanted), ()
    if len(part.wanted) == len(have) == 1:
        yield _by_rows(now, part, [beyond(part.wanted[0], have[0])]), ()
    yield _by_rows(now, part, part.wanted, absent=True), ()


def _all_ways(now: LibvirtBlock, part: _Portion, have: Sequence[ET.Element]) -> Iterator[Proposal]:
    left = uncovered(have, part.wanted)
    yield from _rows(now, part, have)
    yield _by_snippets(now, left), left
    yield _by_snippets(now, part.wanted), part.wanted


def _is_same_device(part: _Portion, one: ET.Element, ours: ET.Element) -> bool:
    places = next((device.same for device in DEVICES if part.device and device.name in part.keys), ())
    values = [[_told(element, place) for element in (one, ours)] for place in places]
    return bool(values) and all(mine is not None and mine == other for mine, other in values)


def _told(element: ET.Element, place: str) -> str | None:
    path, at, attribute = place.partition("@")
    found = element.find(path) if path else element
    return None if found is None else found.get(attribute) if at else found.text


def _by_rows(
    now: LibvirtBlock, part: _Portion, elements: Sequence[ET.Element], *, absent: bool = False
) -> LibvirtBlock | None:
    """The block with the elements read by the first rows that fit; None: there are none."""
    for key in part.keys:
        block = copy.deepcopy(now)
        place = block.setdefault("devices", {}) if part.device else block
        node = (DEVICE_ROWS.fields if part.device else LIBVIRT.fields)[key]
        plain = next((device.plain for device in DEVICES if part.device and device.name == key), None)
        for element in map(copy.deepcopy, elements):
            if plain is not None:
                plain(element)
            if isinstance(node, Items):
                place[key] = [*place.get(key, []), values_of(element, node.block, absent=absent)]
            elif isinstance(node, Block):
                place[key] = values_of(element, node, absent=absent)
            elif isinstance(node, Field) and (value := spelled(node.kind, (element.text or "").strip())) is not None:
                place[key] = value
        if (right := without_faults(block)) is not None:
            return right
    return None


def _parts(domain: ET.Element) -> Iterator[_Portion]:
    for tag in dict.fromkeys(one.tag for one in domain if one.tag not in NOT_OURS):
        keys = tuple(key for key, node in LIBVIRT.fields.items() if _tag(node) == tag)
        yield _Portion(tag, tuple(domain.findall(tag)), keys, False)
    devices = domain.find("devices")
    below = [] if devices is None else [*devices]
    for tag in dict.fromkeys(one.tag for one in below):
        keys = tuple(key for key, node in DEVICE_ROWS.fields.items() if _tag(node) == tag)
        yield _Portion(tag, tuple(one for one in below if one.tag == tag), keys, True)


def _tag(node: object) -> str:
    inner = node.block if isinstance(node, Items) else node
    return inner.at.partition("/")[0].partition("@")[0] if isinstance(inner, Block | Field) else ""


def without_faults(block: LibvirtBlock) -> LibvirtBlock | None:
    """The block without the values that the table refuses where they stand; None: too much is wrong with it.

    Several fields may share a place in the XML; which of them is meant, the rules between fields say.
    """
    block = copy.deepcopy(block)
    for _ in range(_MOST_FAULTS):
        found = reading(block)
        faults: Sequence[Fault] = found.wrong or found.faults
        if not faults:
            return block
        if not any(_remove(block, one.path) for one in faults):
            return None
    return None


def _remove(block: LibvirtBlock, path: Sequence[str | int]) -> bool:
    """Remove the value at ``path`` below ``libvirt``; returns whether there was one."""
    at: Any = block
    try:
        for key in path[1:-1]:
            at = at[key]
    except (KeyError, IndexError, TypeError):
        return False
    return isinstance(at, dict) and at.pop(path[-1], None) is not None


def _by_snippets(now: LibvirtBlock, elements: Sequence[ET.Element]) -> LibvirtBlock:
    block: dict[str, Json] = copy.deepcopy(now)
    block["snippets"] = [*now.get("snippets", ()), *map(_text, elements)]
    return block


def _text(element: ET.Element) -> str:
    """The element as a person would write it. QEMU's namespace has the prefix that snippets know without a word."""
    own = copy.deepcopy(element)
    own.tail = None
    for one in own.iter():
        one.tag = one.tag.replace(f"{{{QEMU_NAMESPACE}}}", "qemu:")
    ET.indent(own)
    return ET.tostring(own, encoding="unicode")


def _name(element: ET.Element) -> str:
    """What notes call an element: its name, and the first words of it that tell it from others."""
    tag = element.tag.replace(f"{{{QEMU_NAMESPACE}}}", "qemu:")
    told = [f"{key}='{value}'" for key, value in element.items()][:2]
    return f"<{' '.join([tag, *told])}>"

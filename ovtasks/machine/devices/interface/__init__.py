"""Network cards besides the first one (``network:``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ovtasks.machine.device import Attached, Device
from ovtasks.machine.devices.interface.qemu import words
from ovtasks.machine.devices.interface.rows import ROWS
from ovtasks.machine.devices.interface.xml import add_cards, arguments
from ovtasks.machine.draft import Draft
from ovtasks.machine.tree import Faults, Place, Tree
from ovtasks.values.ports import PortForward

_NEEDED = {"bridge": "bridge", "network": "network", "direct": "dev"}
MAX_PORT = 65535


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    """Each card names what it is connected to; ranges of ports go up."""
    for one in found:
        kind = one.text("type") or "user"
        key = _NEEDED.get(kind)
        if key is not None and not one.block("source").has(key):
            yield one.fault(f"is missing: type {kind} needs it", f"source: {{{key}: …}}", "source", key)
        for forward in one.items("port_forwards"):
            start, end = forward.number("start"), forward.number("end")
            if start is not None and end is not None and end < start:
                yield forward.fault(f"is {end}, less than start", "end: a port from start on", "end")


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    return [one.over(mac=_mac(draft.machine.uuid, index)) for index, one in enumerate(found)]


def _mac(uuid: str, index: int) -> str:
    """An address in QEMU's range, always the same for this VM and card."""
    digest = hashlib.sha256(f"{uuid}/{index}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def _attached(one: Tree) -> Iterator[Attached]:
    kind, source = one.text("type") or "user", one.block("source")
    name = next((text for key in _NEEDED.values() if (text := source.text(key))), "")
    yield Attached(kind, name, one.place)


def cards(block: Tree) -> list[Tree]:
    """The cards of a whole ``libvirt:`` block."""
    return block.block("devices").items(INTERFACE.name)


def card_forwards(block: Tree) -> Iterator[tuple[PortForward, Place]]:
    """A forward for each port of the host that the cards take, with the place in the spec that says so."""
    for card in cards(block):
        for one in card.items("port_forwards"):
            first = one.number("start")
            if first is None or first > MAX_PORT:
                continue
            guest, last = one.number("to") or first, one.number("end") or first
            protocol, address = one.text("proto") or "tcp", one.text("address") or "127.0.0.1"
            for port in range(first, min(last, MAX_PORT) + 1):
                yield PortForward(port, guest + port - first, protocol, address), one.place


INTERFACE = Device(
    "interfaces",
    ROWS,
    _rules,
    _complete,
    xml=add_cards,
    arguments=arguments,
    qemu=words,
    attached=_attached,
    same=("mac@address",),
)

"""What the ``libvirt:`` block's network cards take on the host: ports and addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ovtasks.machine.rule_tree import Tree
from ovtasks.values.ports import PortForward
from ovtasks.values.yamlio import Key

MAX_PORT = 65535
Place = tuple[Key, ...]


def cards(libvirt: Mapping[str, Any]) -> list[Tree]:
    """The cards besides the first one."""
    return Tree(libvirt, ("libvirt",)).block("devices").items("interfaces")


def card_forwards(libvirt: Mapping[str, Any]) -> Iterator[tuple[PortForward, Place]]:
    """A forward for each port, with its place in the VM's spec. What is none is the schema's to refuse."""
    for card in cards(libvirt):
        for item in card.items("port_forwards"):
            first = item.number("start")
            if first is None or first > MAX_PORT:
                continue
            guest, last = item.number("to") or first, item.number("end") or first
            protocol, address = item.text("proto") or "tcp", item.text("address") or "127.0.0.1"
            for port in range(first, min(last, MAX_PORT) + 1):
                yield PortForward(port, guest + port - first, protocol, address), item.path

"""The guest agent: qemu-ga in the guest answers JSON over a virtio port (QEMU Guest Agent Protocol Reference)."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovtasks.backends.qemu.qmp import mapping
from ovtasks.host import lan
from ovtasks.values.jsonvalue import Json

DEADLINE = 3.0
"""Seconds to wait. A running agent answers at once, and callers can do without its answer."""


def addresses(path: Path, macs: Sequence[str] = (), deadline: float = DEADLINE) -> tuple[str, ...]:
    """The guest's addresses, without loopback and link-local ones. () if no agent answers within ``deadline`` seconds.

    Addresses of the cards ``macs`` come before others, IPv4 before IPv6.
    """
    until = time.monotonic() + deadline
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(deadline)
            connection.connect(str(path))
            # 0xFF makes the agent drop a half-sent command of another client; the number identifies our answer
            number = int.from_bytes(os.urandom(4))
            sync = {"execute": "guest-sync", "arguments": {"id": number}}
            connection.sendall(b"\xff" + json.dumps(sync).encode() + b"\n")
            answers = _answers(connection, until)
            while next(answers) != number:
                pass
            connection.sendall(b'{"execute":"guest-network-get-interfaces"}\n')
            found = sorted(_addresses(next(answers), macs), key=lambda one: one[:2])
            return tuple(dict.fromkeys(address for _, _, address in found))
        except (OSError, ValueError, StopIteration):
            return ()


def _answers(connection: socket.socket, until: float) -> Iterator[Json]:
    pending = b""
    while True:
        connection.settimeout(max(until - time.monotonic(), 0.001))
        if not (chunk := connection.recv(65536)):
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line.lstrip(b"\xff")).get("return")


def _addresses(interfaces: Json, macs: Sequence[str]) -> Iterator[tuple[bool, bool, str]]:
    """For each address: whether the card is not in ``macs``, whether it is IPv6, and the address."""
    for interface in interfaces if isinstance(interfaces, list) else ():
        card = mapping(interface)
        other = str(card.get("hardware-address")).lower() not in macs
        found = card.get("ip-addresses")
        for item in found if isinstance(found, list) else ():
            address = str(ipaddress.ip_address(str(mapping(item).get("ip-address"))))
            if lan.reachable(address):
                yield other, ":" in address, address

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
"""Seconds: an agent that is there answers at once, and whoever asks can do without."""


def addresses(path: Path, macs: Sequence[str] = (), deadline: float = DEADLINE) -> tuple[str, ...]:
    """The guest's addresses but those of its loopback and of one link; none when no agent answers in time. Those of the
    cards ``macs`` come first, and IPv4."""
    until = time.monotonic() + deadline
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(deadline)
            connection.connect(str(path))
            # 0xFF makes an agent drop what another client left half said; the number tells our answer from older ones
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
    """Whether it is another card's, whether it is IPv6, the address."""
    for interface in interfaces if isinstance(interfaces, list) else ():
        card = mapping(interface)
        other = str(card.get("hardware-address")).lower() not in macs
        found = card.get("ip-addresses")
        for item in found if isinstance(found, list) else ():
            address = str(ipaddress.ip_address(str(mapping(item).get("ip-address"))))
            if lan.reachable(address):
                yield other, ":" in address, address

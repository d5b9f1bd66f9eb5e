"""The guest agent: qemu-ga in the guest answers JSON over a virtio port (QEMU Guest Agent Protocol Reference)."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ovtasks.backends.qemu.qmp import mapping
from ovtasks.jsonvalue import Json

DEADLINE = 3.0
"""Seconds: an agent that is there answers at once, and whoever asks can do without."""


def addresses(path: Path, deadline: float = DEADLINE) -> tuple[str, ...]:
    """The guest's addresses but those of its loopback and of one link; none when no agent answers in time."""
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
            return tuple(_addresses(next(answers)))
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


def _addresses(interfaces: Json) -> Iterator[str]:
    for interface in interfaces if isinstance(interfaces, list) else ():
        found = mapping(interface).get("ip-addresses")
        for item in found if isinstance(found, list) else ():
            address = ipaddress.ip_address(str(mapping(item).get("ip-address")))
            if not (address.is_loopback or address.is_link_local):
                yield str(address)

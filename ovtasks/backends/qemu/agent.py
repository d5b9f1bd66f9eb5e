"""The guest agent: qemu-ga in the guest answers JSON over a virtio port (QEMU Guest Agent Protocol Reference)."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ovtasks.backends.qemu.qmp import mapping
from ovtasks.errors import OvError
from ovtasks.host import lan
from ovtasks.values.jsonvalue import Json, parse

LONGEST_LINE = 64 << 20
"""Bytes of one answer. The agent keeps 16 MiB of each output of a command, which base64 makes a third longer."""
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


def ask(path: Path, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
    """The agent's answer to one command, within ``seconds``.

    :raises OvError: no agent answers, or it refuses the command.
    """
    until = time.monotonic() + seconds
    question: dict[str, Json] = {"execute": command, **({"arguments": arguments} if arguments else {})}
    number = int.from_bytes(os.urandom(4))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(seconds)
            connection.connect(str(path))
            sync = {"execute": "guest-sync", "arguments": {"id": number}}
            connection.sendall(b"\xff" + json.dumps(sync).encode() + b"\n")
            messages = _messages(connection, until)
            while next(messages).get("return") != number:
                pass
            connection.settimeout(max(until - time.monotonic(), 0.001))
            connection.sendall(json.dumps(question).encode() + b"\n")
            message = next(messages)
        except (OSError, ValueError, StopIteration) as e:
            why = "not in time" if isinstance(e, TimeoutError) else str(e) or "the connection ended"
            raise silent(why) from e
    if (error := message.get("error")) is not None:
        raise OvError(f"the guest agent refuses: {mapping(error).get('desc')}", hint="guest info lists what it can do")
    return message.get("return")


def silent(why: str) -> OvError:
    """The error that nothing answers."""
    hint = "qemu-guest-agent must run in the guest (cloud_init.packages: [qemu-guest-agent])"
    return OvError(f"no guest agent answers: {why}", hint=hint)


def _answers(connection: socket.socket, until: float) -> Iterator[Json]:
    return (message.get("return") for message in _messages(connection, until))


def _messages(connection: socket.socket, until: float) -> Iterator[Mapping[str, Json]]:
    """What the agent says.

    :raises OSError: nothing comes before ``until``. :raises ValueError: it is not JSON, or too long.
    """
    pending = bytearray()
    while True:
        if (left := until - time.monotonic()) <= 0:  # what never stops talking has no answer either
            raise TimeoutError
        connection.settimeout(left)
        if not (chunk := connection.recv(1 << 18)):
            return
        pending += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(pending).split(b"\n")
            pending = bytearray(rest)
            for line in lines:
                yield mapping(parse(line.lstrip(b"\xff")))
        elif len(pending) > LONGEST_LINE:
            raise ValueError(f"its answer is longer than {LONGEST_LINE >> 20} MiB")


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

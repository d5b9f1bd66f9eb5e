"""The guest agent's protocol, with an agent that answers as its reference says and one that does not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.backends.qemu.agent import addresses

INTERFACES = [
    {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}]},
    {
        "name": "enp0s2",
        "hardware-address": "52:54:00:12:34:56",
        "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "192.0.2.7", "prefix": 24},
            {"ip-address-type": "ipv6", "ip-address": "2001:db8::7", "prefix": 64},
            {"ip-address-type": "ipv6", "ip-address": "fe80::1", "prefix": 64},
        ],
    },
    {
        "name": "docker0",
        "hardware-address": "02:42:00:00:00:01",
        "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "172.17.0.1", "prefix": 16}],
    },
    {"name": "down"},
]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(tmp_path / "agent.sock"))
        found.listen()
        yield found


def serve(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as stream:
        stream.write(b'{"return": 1}\n')  # what a client before us did not wait for
        for line in stream:
            question = json.loads(line.lstrip(b"\xff"))
            sync = question["execute"] == "guest-sync"
            answer = question["arguments"]["id"] if sync else INTERFACES
            stream.write(json.dumps({"return": answer}).encode() + b"\n")
            stream.flush()


@pytest.mark.parametrize(
    ("macs", "expected"),
    [
        (["52:54:00:12:34:56"], ("192.0.2.7", "2001:db8::7", "172.17.0.1")),
        (["02:42:00:00:00:01"], ("172.17.0.1", "192.0.2.7", "2001:db8::7")),
    ],
)
def test_addresses(listener: socket.socket, macs: list[str], expected: tuple[str, ...]) -> None:
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    assert addresses(Path(listener.getsockname()), macs) == expected
    thread.join()


def test_an_agent_that_does_not_answer(listener: socket.socket) -> None:
    begin = time.monotonic()
    assert addresses(Path(listener.getsockname()), deadline=0.2) == ()
    assert time.monotonic() - begin < 30


def test_no_agent(tmp_path: Path) -> None:
    assert addresses(tmp_path / "none.sock") == ()

"""Servers and agents that lie, flood or fall silent: one message each, in time, and without much memory."""

from __future__ import annotations

import json
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from socket import SocketIO

import pytest

from ovtasks.backends.contract import DisplayPlace
from ovtasks.backends.qemu import agent, qmp
from ovtasks.errors import InputError, OvError
from ovtasks.probes import spice
from tests.probes import liar
from tests.probes.liar import CHANNELS, MAIN, Work, cut, flood, message, peer

SECONDS = 0.5
MEMORY = 48 << 20
KEY = liar.spice_key()


def says(*data: bytes) -> Work:
    def work(stream: SocketIO) -> None:
        stream.write(b"".join(data))
        while stream.read(1 << 16):
            pass

    return work


def floods(data: bytes) -> Work:
    return lambda stream: flood(stream, data)


def told(ask: Callable[[], object]) -> OvError:
    """The error that comes, soon and without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(OvError) as caught:
            ask()
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert caught.value.hint and "\n" not in caught.value.message
    return caught.value


def greeted(path: Path, seconds: float = SECONDS) -> None:
    with spice.session(DisplayPlace(path), seconds) as session:
        spice.display_size(session)


SPICE: dict[str, tuple[Work, str]] = {
    "nothing": (cut(), "ended the connection"),
    "another program": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "is not a SPICE server"),
    "a long reply": (says(liar.HEADER.pack(b"REDQ", 2, 2, 0xFFFFFFFF)), "is not a SPICE server"),
    "an error": (says(liar.HEADER.pack(b"REDQ", 2, 2, 182) + struct.pack("<I", 99) + bytes(178)), "refuses: error 99"),
    "no key": (liar.spice(bytes(162), says()), "has no key that can be used"),
    "silence": (liar.spice(KEY, says()), "does not answer in time"),
    "a cut greeting": (liar.spice(KEY, says(message(103, b"abc"))), "a message that is cut off"),
    "a cut message": (liar.spice(KEY, cut(message(103, b"a", 99))), "ended the"),
    "a long message": (liar.spice(KEY, says(message(103, size=0xFFFFFFFF))), "a message of 4294967295 bytes"),
    "more than an image": (liar.spice(KEY, says(message(103, size=5 << 20))), "a message of 5242880 bytes"),
    "too few channels": (liar.spice(KEY, says(MAIN, message(104, struct.pack("<I", 1 << 31)))), "is cut off"),
    "no display": (liar.spice(KEY, says(MAIN, message(104, struct.pack("<I2B", 1, 1, 0)))), "no channel for display"),
    "a cut surface": (liar.spice(KEY, says(MAIN, CHANNELS, message(314, b"abc"))), "is cut off"),
    "a cut acknowledgement": (liar.spice(KEY, says(message(3, b"abc"))), "is cut off"),
    "pings for ever": (liar.spice(KEY, floods(message(4, bytes(12)) * 99)), "does not answer in time"),
    "pictures for ever": (liar.spice(KEY, floods(message(300, bytes(1 << 20)))), "does not answer in time"),
}


@pytest.mark.parametrize("case", SPICE)
def test_a_spice_server(case: str, tmp_path: Path) -> None:
    work, words = SPICE[case]
    with peer(tmp_path / "s", work) as path:
        error = told(lambda: greeted(path, SECONDS if "in time" in words else 60.0))
    assert words in error.message


def test_a_long_picture_is_passed_over(tmp_path: Path) -> None:
    data = MAIN + message(300, bytes(64 << 20)) + CHANNELS + message(314, struct.pack("<IIIII", 0, 640, 480, 32, 1))
    tracemalloc.start()
    with peer(tmp_path / "s", liar.spice(KEY, says(data))) as path, spice.session(DisplayPlace(path), 120.0) as session:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert spice.display_size(session) == (640, 480)
        assert tracemalloc.get_traced_memory()[1] - before < MEMORY
    tracemalloc.stop()


def test_a_pointer_that_lies_about_its_size(tmp_path: Path) -> None:
    shape = struct.pack("<hhHHBH", 1, 2, 0, 0, 1, 0) + struct.pack("<QBHHHH", 1, 0, 65535, 65535, 0, 0) + b"few"
    data = MAIN + CHANNELS + message(101, shape)
    with peer(tmp_path / "s", liar.spice(KEY, says(data))) as path, spice.session(DisplayPlace(path), 60.0) as session:
        assert spice.pointer(session).image is None


def test_places_and_passwords_that_cannot_be(tmp_path: Path) -> None:
    for place in (
        DisplayPlace(tmp_path / ("s" * 200)),
        DisplayPlace(host="a" * 300, port=1),
        DisplayPlace(tmp_path / "none"),
    ):
        error = told(lambda place=place: spice.session(place, SECONDS).__enter__())  # type: ignore[misc]
        assert "cannot be reached" in error.message
    with peer(tmp_path / "s", liar.spice(KEY, says())) as path, pytest.raises(InputError) as caught:
        spice.session(DisplayPlace(path, password="ä" * 31), 60.0).__enter__()
    assert (caught.value.message, "60" in str(caught.value.hint)) == ("the password has 62 bytes", True)


GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
QMP: dict[str, tuple[Work, str]] = {
    "nothing": (cut(), "ended the connection"),
    "a cut greeting": (cut(GREETING[:20]), "a message is cut off"),
    "no JSON": (says(GREETING, b"hello\n"), "not QEMU's protocol"),
    "not UTF-8": (says(GREETING, b"\xff\xfe\n"), "not QEMU's protocol"),
    "nested": (says(GREETING, b"[" * 99_999 + b"\n"), "not QEMU's protocol"),
    "no object": (says(GREETING, b"[1]\n7\nnull\n"), "does not answer"),
    "an error without words": (says(b'{"id": 2, "error": "no"}\n'), "QEMU refuses: None"),
    "a line without an end": (floods(b"x" * 65536), "longer than"),
    "events for ever": (floods(b'{"event": "RESET"}\n' * 999), "does not answer"),
}


@pytest.mark.parametrize("case", QMP)
def test_qemu_s_monitor(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "LONGEST_LINE", 4 << 20)
    monkeypatch.setattr(qmp, "FLOOD", 0.0)
    work, words = QMP[case]

    def ask(path: Path) -> None:
        with qmp.connect(path, os.getpid(), SECONDS if "does not" in words else 60.0) as connection:
            connection.execute("query-status")

    with peer(tmp_path / "s", work) as path, pytest.raises(OvError) as caught:
        ask(path)
    assert words in caught.value.message


def test_events_without_a_pause_end_in_time(tmp_path: Path) -> None:
    with (
        peer(tmp_path / "s", floods(b'{"event": "RESET"}\n' * 99)) as path,
        qmp.connect(path, os.getpid(), 1.0) as connection,
    ):
        assert sum(1 for _ in connection.events()) > 1


def _agent(*answers: bytes) -> Work:
    """An agent that answers ``guest-sync`` well."""

    def work(stream: SocketIO) -> None:
        question = b""
        while not question.endswith(b"\n"):
            question += stream.read(1)
        number = json.loads(question.lstrip(b"\xff"))["arguments"]["id"]
        stream.write(json.dumps({"return": number}).encode() + b"\n")
        says(*answers)(stream)

    return work


AGENT: dict[str, tuple[Work, str]] = {
    "nothing": (cut(), "the connection ended"),
    "silence": (says(), "not in time"),
    "silence later": (_agent(), "not in time"),
    "no JSON": (_agent(b"hello\n"), "not JSON"),
    "nested": (_agent(b"[" * 99_999 + b"\n"), "nested too deeply"),
    "an error without words": (_agent(b'{"error": 7}\n'), "refuses: None"),
    "a line without an end": (floods(b"x" * 65536), "longer than"),
    "answers for ever": (floods(b'{"return": 1}\n' * 999), "not in time"),
}


@pytest.mark.parametrize("case", AGENT)
def test_a_guest_agent(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "LONGEST_LINE", 4 << 20)
    work, words = AGENT[case]
    with peer(tmp_path / "s", work) as path:
        error = told(lambda: agent.ask(path, "guest-ping", {}, SECONDS if "in time" in words else 60.0))
    assert words in error.message


def test_a_flood_ends_when_the_time_is_over(tmp_path: Path) -> None:
    """What comes all the time leaves no pause in which to be late."""
    with peer(tmp_path / "s", floods(b'{"return": 1}\n')) as path:
        begin = time.process_time()
        told(lambda: agent.ask(path, "guest-ping", {}, 0.5))
        assert time.process_time() - begin < 60

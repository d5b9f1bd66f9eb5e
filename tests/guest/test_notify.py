"""What a guest's systemd announces: the listener over a real stream socket, with messages as systemd sends them.

Few hosts of tests have guests with vsock, so the socket is a Unix one of the same type, whose clients have names in
place of CIDs; all behind the socket's making is the same code. systemd's own client shows what a message looks like.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.guest import notify
from ovtasks.guest.deadline import Deadline
from ovtasks.guest.notify import Listener, listening
from ovtasks.guest.readiness import Level, Stage, Wait
from ovtasks.host import vsock
from ovtasks.host.run import run
from tests.support.sshd import Sshd, new_sshd

READY = b"READY=1\nSTATUS=Ready.\n"


class Guest:
    """Says things to a listener at ``path``. A connection's own address begins with the guest's name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = itertools.count()

    def connect(self, name: str = "ours") -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.bind(f"\0{name}-{os.getpid()}-{next(self.connections)}")
        client.connect(str(self.path))
        return client

    def say(self, message: bytes, name: str = "ours") -> None:
        with self.connect(name) as client:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    monkeypatch.chdir(tmp_path)
    return Guest(Path("notify.sock"))


@pytest.fixture
def listener(guest: Guest) -> Iterator[Listener]:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(guest.path))
    server.listen()
    listener = Listener(server, lambda peer: isinstance(peer, bytes) and peer.startswith(b"\0ours-"))
    yield listener
    listener.close()


def test_nothing_is_said(listener: Listener) -> None:
    started = time.monotonic()
    listener.pause(0.2)
    assert not listener.booted and 0.19 <= time.monotonic() - started < 30


def test_ready(listener: Listener, guest: Guest) -> None:
    guest.say(b"X_SYSTEMD_UNIT_ACTIVE=basic.target")
    listener.pause(5)
    assert not listener.booted
    guest.say(READY)
    listener.pause(5)
    assert listener.booted


def test_what_systemds_own_client_sends(listener: Listener, guest: Guest) -> None:
    """It speaks to Unix datagram sockets only; its bytes go on to ours."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as recorder:
        recorder.bind("datagrams.sock")
        recorder.settimeout(60)
        run(
            ["systemd-notify", "--no-block", "--ready", "--status=Startup finished", "--pid=1"],
            env={"NOTIFY_SOCKET": str(Path("datagrams.sock").absolute())},
            timeout=60,
        )
        message = recorder.recv(4096)
    assert b"READY=1" in message
    guest.say(message)
    listener.pause(5)
    assert listener.booted


def test_a_message_in_pieces(listener: Listener, guest: Guest) -> None:
    with guest.connect() as client:
        client.sendall(READY[:4])
        listener.pause(0.1)
        client.sendall(READY[4:])
        listener.pause(0.1)
        assert not listener.booted, "it has not ended"
    listener.pause(5)
    assert listener.booted


@pytest.mark.parametrize("message", [b"NOTREADY=1", b"STATUS=READY=1", b"READY=0", b"\xff\xfe\0", b""])
def test_other_words(message: bytes, listener: Listener, guest: Guest) -> None:
    guest.say(message)
    listener.pause(0.1)
    assert not listener.booted


def test_another_guest_is_not_believed(listener: Listener, guest: Guest) -> None:
    guest.say(READY, name="another")
    listener.pause(0.1)
    assert not listener.booted


def test_an_emergency_is_no_boot(listener: Listener, guest: Guest) -> None:
    guest.say(b"X_SYSTEMD_UNIT_ACTIVE=emergency.target\n")
    listener.pause(5)
    guest.say(READY)
    listener.pause(0.1)
    assert not listener.booted


def test_endless_messages(listener: Listener, guest: Guest) -> None:
    with guest.connect() as client:
        client.setblocking(False)
        sent = 0
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            while sent < 1 << 20:
                with contextlib.suppress(BlockingIOError):
                    sent += client.send(b"A" * 4096)
                listener.pause(0.0)
    assert not listener.booted


def test_many_senders(listener: Listener, guest: Guest) -> None:
    silent = []
    for number in range(notify.SENDERS + 4):
        client = guest.connect()
        silent.append(client)
        listener.pause(0.01)
        client.settimeout(5)
        if number >= notify.SENDERS:
            assert client.recv(1) == b"", "the listener hangs up"
    for client in silent:
        client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


def test_a_wait_for_the_boot_ends_with_the_announcement(server: Sshd, listener: Listener, guest: Guest) -> None:
    """The console says nothing, and no SSH server answers."""
    stages: list[Stage] = []
    wait = Wait(
        *(server.target, Deadline.after(60.0), lambda: None, server.folder / "serial.log"),
        on_stage=lambda stage, after: stages.append(stage),
        listener=listener,
    )
    timer = threading.Timer(1.0, guest.say, [READY])
    timer.start()
    try:
        ready = wait.until(Level.BOOT)
    finally:
        timer.join()
    assert stages == [Stage.BOOTED] and 0.9 < ready.seconds < 40


def test_a_wait_for_ssh_goes_on_after_it(server: Sshd, listener: Listener, guest: Guest) -> None:
    stages: list[Stage] = []
    guest.say(READY)
    wait = Wait(
        *(server.target, Deadline.after(60.0), lambda: None, server.folder / "serial.log"),
        on_stage=lambda stage, after: stages.append(stage),
        listener=listener,
    )
    timer = threading.Timer(1.0, server.start)
    timer.start()
    try:
        wait.until(Level.SSH)
    finally:
        timer.join()
    assert stages == [Stage.BOOTED, Stage.ANSWERS, Stage.LOGGED_IN]


def test_one_listens_to_a_vsock_port() -> None:
    """The second who waits goes without; so does everybody where the kernel has no vsock at all."""
    port = 0x40000000 + os.getpid()
    with listening(port) as first, listening(port) as second:
        assert second is None
        assert (first is None) == (vsock.listen(socket.VMADDR_PORT_ANY) is None)
    with listening(None) as nobody:
        assert nobody is None

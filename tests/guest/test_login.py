"""Who is let in, and what is said when nobody is."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.guest.connection import connect
from ovtasks.guest.connection_errors import ConnectionFailedError, KeyRefusedError, UnreachableError
from ovtasks.guest.target import WrongHostKeyError
from ovtasks.instance.keys import generate_key_pair
from tests.support.processes import serve
from tests.support.programs import call
from tests.support.sshd import Sshd, new_sshd, write

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


@contextlib.contextmanager
def agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent that knows no key yet."""
    path = folder / "agent"
    process = serve("ssh-agent", "-D", "-a", path)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    try:
        end = time.monotonic() + 30
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def test_another_host_key(server: Sshd) -> None:
    server.new_host_key()
    server.start()
    with pytest.raises(WrongHostKeyError, match=r"web: the guest shows another host key .*SHA256:") as caught:
        connect(server.target)
    assert "ov vm ssh web --accept-new-host-key" in str(caught.value.hint)
    assert "known_hosts" not in (server.folder / "known_hosts").read_text()


def test_the_known_kind_is_asked_for(server: Sshd) -> None:
    """The guest has three keys, and we know the one that nobody would ask for first."""
    for kind in ("rsa", "ecdsa"):
        call("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", server.folder / kind)
    config = server.folder / "sshd_config"
    config.write_text(f"{config.read_text()}HostKey {server.folder}/rsa\nHostKey {server.folder}/ecdsa\n")
    server.start()
    for kind in ("rsa", "ecdsa"):
        key = " ".join((server.folder / f"{kind}.pub").read_text().split()[:2])
        (server.folder / "known_hosts").write_text(f"ov-web {key}\n")
        connect(server.target).close()


def test_the_first_key_is_accepted_once(server: Sshd, tmp_path: Path) -> None:
    server.start()
    first = replace(server.target, known_hosts=tmp_path / "none", strict=False)
    connect(first).close()
    assert (tmp_path / "none").read_text() == f"ov-web {' '.join(server.host_key().split()[:2])}\n"
    connect(replace(first, strict=True)).close()
    server.stop()
    server.new_host_key()
    server.start()
    with pytest.raises(WrongHostKeyError):
        connect(first)


def test_a_key_that_is_refused(server: Sshd) -> None:
    write(server.folder / "authorized_keys", "")
    server.start()
    with pytest.raises(KeyRefusedError, match=r"web: the guest refuses the SSH key: .*Permission denied \(") as caught:
        connect(server.target)
    assert "ov vm status web" in str(caught.value.hint)


@pytest.mark.parametrize("what", ["absent", "damaged", "secret"])
def test_a_key_that_cannot_be_used(what: str, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server.start()
    identity = server.folder / "id"
    if what == "absent":
        identity.unlink()
    elif what == "damaged":
        identity.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    else:
        call("ssh-keygen", "-q", "-p", "-N", "passphrase", "-f", identity)
    with pytest.raises(KeyRefusedError, match=f"the private key cannot be used: .*{identity}") as caught:
        connect(server.target)
    assert "ssh-add" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_every_kind_of_key(kind: str, server: Sshd) -> None:
    for path in (server.folder / "id", server.folder / "id.pub"):
        path.unlink(missing_ok=True)
    call("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", server.folder / "id")
    write(server.folder / "authorized_keys", (server.folder / "id.pub").read_text())
    server.start()
    connect(server.target).close()


def test_keys_of_the_agent(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them without an identity; with one only that, which may have a passphrase."""
    monkeypatch.setenv("HOME", str(tmp_path))
    server.start()
    anyone = replace(server.target, identity=None)
    identity = server.folder / "id"
    with agent(tmp_path, monkeypatch):
        with pytest.raises(KeyRefusedError):
            connect(anyone)
        write(server.folder / "further", generate_key_pair("further")[0])
        call("ssh-add", "-q", server.folder / "further")
        call("ssh-add", "-q", identity)
        connect(anyone).close()
        (server.folder / "id.pub").write_text((server.folder / "authorized_keys").read_text())
        call("ssh-keygen", "-q", "-p", "-N", "passphrase", "-f", identity)
        connect(server.target).close()
        call("ssh-add", "-q", "-d", server.folder / "id.pub")
        with pytest.raises(KeyRefusedError, match="passphrase"):
            connect(server.target)


def test_the_default_files(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    server.start()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  ProxyCommand false\n  Port 1\n")
    write(tmp_path / ".ssh/id_rsa", "damaged")
    (server.folder / "id").rename(tmp_path / ".ssh/id_ed25519")
    connect(replace(server.target, identity=None)).close()


def test_too_many_keys(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    server.start()
    with agent(tmp_path, monkeypatch):
        for number in range(7):
            write(server.folder / f"key{number}", generate_key_pair("")[0])
            call("ssh-add", "-q", server.folder / f"key{number}")
        with pytest.raises(KeyRefusedError, match="Too many authentication failures"):
            connect(replace(server.target, identity=None))


def test_nothing_listens(server: Sshd) -> None:
    with pytest.raises(UnreachableError, match=f"web: nothing listens on 127.0.0.1 port {server.port}") as caught:
        connect(server.target)
    assert caught.value.hint == "ov vm wait web"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_what_listens_is_no_ssh_server(said: bytes | None, server: Sshd) -> None:
    """It hangs up, says something else, or nothing at all."""
    with socket.create_server(("127.0.0.1", server.port)) as listener:

        def serve_one() -> None:
            connection, _ = listener.accept()
            with connection:
                if said is None:
                    connection.recv(1 << 16)
                    with contextlib.suppress(OSError):
                        connection.recv(1)
                connection.sendall(said or b"")

        thread = threading.Thread(target=serve_one)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(UnreachableError, match="the SSH server of web does not answer"):
            connect(replace(server.target, patience=1))
        assert time.monotonic() - begun < 60
        thread.join()


def test_a_limit_and_a_check_end_the_wait(server: Sshd) -> None:
    calls = []

    def check() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            raise InterruptedError

    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(InterruptedError):
            connect(server.target, check=check)
        begun = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            connect(server.target, limit=1.0)
        assert time.monotonic() - begun < 60


def test_no_name_has_no_address(server: Sshd) -> None:
    with pytest.raises(UnreachableError, match=r"no-such-host\.invalid port"):
        connect(replace(server.target, host="no-such-host.invalid"))


def test_nothing_is_left_open(server: Sshd) -> None:
    server.start()
    connect(server.target).close()
    before, running = set(Path("/proc/self/fd").iterdir()), set(threading.enumerate())
    for _ in range(3):
        with connect(server.target) as guest:
            guest.run("true")
    end = time.monotonic() + 60
    while (left := set(threading.enumerate()) - running) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left and set(Path("/proc/self/fd").iterdir()) <= before

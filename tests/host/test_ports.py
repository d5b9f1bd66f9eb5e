"""Ports of this host: tried for real, with real sockets and real owners."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.host.ports import free, owner

ME = f"{Path('/proc/self/comm').read_text(encoding='utf-8').strip()} (pid {os.getpid()})"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found


def port_of(found: socket.socket) -> int:
    return int(found.getsockname()[1])


def test_taken_while_somebody_listens(listener: socket.socket) -> None:
    port = port_of(listener)
    assert not free(port) and not free(port, address="0.0.0.0")
    assert free(port, "udp") and free(port, address="127.0.0.2")
    listener.close()
    assert free(port)


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_wildcard_listener_has_every_address(address: str) -> None:
    six = ":" in address
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=six) as found:
        port = port_of(found)
        assert not free(port) and not free(port, address="127.0.0.3") and not free(port, address="::")
        assert owner(port, address="127.0.0.1") == ME


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_taken_also_by_who_shares(protocol: str, option: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as found:
        found.setsockopt(socket.SOL_SOCKET, option, 1)
        found.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            found.listen()
        assert not free(port_of(found), protocol)
        assert owner(port_of(found), protocol) == ME


def test_time_wait_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = port_of(server)
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        served.close()  # whoever closes first keeps the pair in TIME_WAIT
        assert client.recv(1) == b""
        client.close()
    waiting = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()]
    assert any(f[1].endswith(f":{port:04X}") and f[3] == "06" for f in waiting)
    assert free(port)
    assert owner(port) is None


def test_what_cannot_be_listened_on() -> None:
    with pytest.raises(OvError, match=r"192\.0\.2\.7 is not an address of this host"):
        free(20000, address="192.0.2.7")


def as_nobody(code: str) -> str:
    """What ``code`` prints when an ordinary user runs it, in a child that has our modules already."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.dup2(writer, 1)
        os.closerange(3, 4096)  # the sockets of the test, too
        sys.stdout = os.fdopen(1, "w")
        try:
            exec(code, {"free": free, "owner": owner, "OvError": OvError})
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text.strip()


def test_owner(listener: socket.socket) -> None:
    port = port_of(listener)
    assert owner(port) == ME == owner(port, address="0.0.0.0")
    assert owner(port, address="127.0.0.2") is None and owner(port, "udp") is None
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert owner(port_of(client)) == ME
    if os.geteuid() == 0:  # only root can be two users
        assert as_nobody(f"print(owner({port}))") == "another user's process (root)"


def test_privileged_ports() -> None:
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    if os.geteuid() == 0 and limit > 1:
        said = as_nobody("try: free(1)\nexcept OvError as e: print(e.message)")
        assert said == "port 1/tcp can only be opened by root"
    assert free(1) if os.geteuid() == 0 else limit <= 1024

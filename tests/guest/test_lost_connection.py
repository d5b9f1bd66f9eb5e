"""Ends of a connection that nobody planned: ours, the guest's, the network's."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest import session
from ovtasks.guest.connection import Connection, Finished, connect
from ovtasks.guest.connection_errors import ConnectionLostError
from ovtasks.guest.deadline import Deadline
from ovtasks.guest.heartbeat import Heartbeat
from ovtasks.guest.target import WrongHostKeyError
from tests.support.processes import alive, settle, start
from tests.support.sshd import Sshd, new_sshd

pytestmark = pytest.mark.slow
WORK = """
from pathlib import PosixPath
from ovtasks.guest.connection import connect
from ovtasks.guest.target import Target
with connect({target!r}) as guest:
    guest.run({script!r})
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        yield server


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def script(folder: Path) -> str:
    """It notes the processes that it consists of: below a shell, in the background, in a pipe."""
    pids = folder / "pids"
    return f"sleep 60 & echo $! >{pids}; sh -c 'echo $$ >>{pids}; sleep 60; :' | cat; echo $? >{folder}/went-on"


def noted(folder: Path) -> list[int]:
    try:
        return [int(word) for word in (folder / "pids").read_text().split()]
    except FileNotFoundError:
        return []


def serving(guest: Connection) -> int:
    """The process of sshd that serves a connection."""
    pid = int(guest.run("echo $PPID").text)
    while Path(f"/proc/{pid}/comm").read_text().strip() != "sshd":
        pid = parent(pid)
    return pid


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_script_ends_when_we_do(number: signal.Signals, server: Sshd, tmp_path: Path) -> None:
    code = WORK.format(target=server.target, script=script(tmp_path))
    process = start(sys.executable, "-c", code, env=dict(os.environ))
    try:
        until(lambda: len(noted(tmp_path)) == 2 or process.poll() is not None)
        process.send_signal(number)
        until(lambda: not any(alive(pid) for pid in noted(tmp_path)))
    finally:
        settle(process, 20.0)
    assert len(noted(tmp_path)) == 2 and not (tmp_path / "went-on").exists()


def test_a_script_ends_when_the_connection_is_closed(server: Sshd, tmp_path: Path) -> None:
    """From another thread, as at the end of a program."""
    with connect(server.target) as guest:

        def close() -> None:
            until(lambda: len(noted(tmp_path)) == 2)
            guest.close()

        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(ConnectionLostError, match="the connection to web is lost"):
            guest.run(script(tmp_path), timeout=60)
        thread.join()
    until(lambda: not any(alive(pid) for pid in noted(tmp_path)))
    assert not (tmp_path / "went-on").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_servers_end_in_the_middle_of_a_script(number: signal.Signals, server: Sshd, tmp_path: Path) -> None:
    """As when the guest reboots."""
    with connect(server.target) as guest:
        pid = serving(guest)
        timer = threading.Timer(1.0, os.kill, (pid, number))
        timer.start()
        with pytest.raises(ConnectionLostError, match="the connection to web is lost") as caught:
            guest.run(script(tmp_path), timeout=60)
        timer.join()
        assert "ov vm wait web" in str(caught.value.hint)
        with pytest.raises(ConnectionLostError):
            guest.run("true")
        with pytest.raises(ConnectionLostError):
            guest.upload(b"x", str(tmp_path / "x"))
        with pytest.raises(ConnectionLostError):
            guest.command("true")
    until(lambda: not any(alive(pid) for pid in noted(tmp_path)))
    assert not (tmp_path / "went-on").exists()


def test_a_shell_that_is_killed(server: Sshd) -> None:
    """All of the user's processes are ended, as a shutdown does before the network goes."""
    with connect(server.target) as guest:
        with pytest.raises(ConnectionLostError, match="was killed in the guest"):
            guest.run("kill -9 0")
        with pytest.raises(ConnectionLostError, match="was killed in the guest"):
            guest.command("kill -9 $$")
        assert guest.run("echo on").text == "on\n"


def test_a_guest_that_stands_still(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP does not notice; our questions without answers do."""
    monkeypatch.setattr(session, "Heartbeat", lambda transport: Heartbeat(transport, 0.2, 5))
    with connect(server.target) as guest:
        assert guest.run("sleep 2; echo on").text == "on\n"  # answered all the time
        pid = serving(guest)
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with pytest.raises(ConnectionLostError, match="it has not answered for"):
                guest.run("sleep 1", timeout=60)
            assert time.monotonic() - begun < 60
        finally:
            os.kill(pid, signal.SIGCONT)


def test_reconnect_after_a_restart(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is gone for a while; another boot-id is waited for."""
    boots = iter(["one", "one", "two"])
    monkeypatch.setattr(Connection, "boot_id", lambda self: next(boots))
    with connect(server.target) as guest:
        before = guest.boot_id()
        os.kill(serving(guest), signal.SIGKILL)
        server.stop()
        timer = threading.Timer(1.0, server.start)
        timer.start()
        begun = time.monotonic()
        guest.reconnect(Deadline.after(60), after=before)
        timer.join()
        assert time.monotonic() - begun > 0.9 and guest.run("echo on").text == "on\n"
        assert not list(boots)


def test_reconnect_that_fails(server: Sshd) -> None:
    with connect(server.target) as guest:
        boot = guest.boot_id()
        assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with pytest.raises(OvError, match=r"web is not back after \d+ s: it has not begun to reboot"):
            guest.reconnect(Deadline.after(1.0), after=boot)
        server.stop()
        with pytest.raises(OvError, match=r"not back after \d+ s: web: nothing listens") as caught:
            guest.reconnect(Deadline.after(1.0))
        assert caught.value.hint == "ov vm wait web"
        with pytest.raises(OvError, match="web: the VM ended: powered off"):
            guest.reconnect(Deadline.after(60.0), alive=lambda: "powered off")
        server.new_host_key()
        server.start()
        with pytest.raises(WrongHostKeyError):
            guest.reconnect(Deadline.after(60.0))


def test_reboot(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest's own command is called, as root, and ends the connection. (Here not as root: never the host's.)"""
    boots = iter(["one", "two"])
    monkeypatch.setattr(Connection, "boot_id", lambda self: next(boots))
    run, asked = Connection.run, []

    def as_user(self: Connection, script: str, *, root: bool) -> Finished:
        asked.append(root)
        return run(self, script)

    server.program("systemctl", f'echo "$@" >{tmp_path}/said; kill -9 0')
    server.program("reboot", "echo Interactive authentication required >&2; exit 1")
    with connect(server.target) as guest, monkeypatch.context() as patched:
        patched.setattr(Connection, "run", as_user)
        guest.reboot(Deadline.after(60))
        assert (tmp_path / "said").read_text() == "reboot\n"
        boots = iter(["one"])
        server.program("systemctl", "exit 1")
        with pytest.raises(OvError, match="web: cannot reboot: Interactive authentication required"):
            guest.reboot(Deadline.after(60))
    assert asked == [True, True]

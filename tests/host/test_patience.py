"""Each wait of more than two seconds says what it waits for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.backends.qemu import qmp
from ovtasks.backends.qemu.qmp import SilentError
from ovtasks.graph.database import WalDB
from ovtasks.guest.connection import connect
from ovtasks.guest.connection_errors import ConnectionFailedError
from ovtasks.guest.ssh import greeted
from ovtasks.guest.target import Target
from ovtasks.host import patience
from ovtasks.host.files import flock
from ovtasks.host.patience import named, shown, waiting_for
from ovtasks.host.run import run
from tests.support.pace import PATIENCE
from tests.support.programs import Ended, attempt
from tests.support.server import Site, serve
from tests.support.tmux import terminal
from tests.support.workbench import DODO, DOIT, EMULATED, OV, ROOT, Workbench, cloud_vm, make_image, new_bench


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is said, after a tenth of the time."""
    monkeypatch.setattr(patience, "FIRST", 0.2)
    monkeypatch.setattr(patience, "AGAIN", 1.0)
    said: list[str] = []
    patience.tell(said.append)
    yield said
    patience.tell(None)


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Target]:
    """An SSH server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Target("ov-web", server.getsockname()[1], "me", tmp_path / "known_hosts", patience=1)


def test_short_waits_and_shown_ones_are_silent(lines: list[str]) -> None:
    with waiting_for("nothing"):
        pass
    with shown():
        run(["sleep", "0.4"])
    assert lines == []


def test_the_outermost_wait_is_told_again_and_again(lines: list[str]) -> None:
    with waiting_for("web to start"):
        run(["sleep", "2"])
    first, second, *_ = lines
    assert first == "waiting for web to start"
    assert re.fullmatch(r"still waiting for web to start \[[12] s\]", second)


def test_a_program(lines: list[str]) -> None:
    run(["sleep", "1"])
    assert lines == ["waiting for sleep"]
    assert named(["/usr/bin/podman", "pull", "x"]) == "podman pull" and named(["gpg", "--verify"]) == "gpg"


def test_a_lock(lines: list[str], tmp_path: Path) -> None:
    """Who holds it is said, also where the caller says nothing."""
    with flock(tmp_path / "lock"):
        pass
    with (tmp_path / "lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(1, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        with flock(tmp_path / "lock"):
            assert lines == [f"waiting for process {os.getpid()}"]


def test_ssh_s_greeting(lines: list[str], silent: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    assert greeted(silent) == silent and lines == []  # no terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert greeted(silent).patience == 1
    assert lines[0] == "waiting for the SSH server of web"


def test_a_login(lines: list[str], silent: Target) -> None:
    with pytest.raises(ConnectionFailedError):
        connect(silent)
    assert lines[0] == "waiting for the SSH server of web"


def test_qemu_that_does_not_answer(lines: list[str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()
        with pytest.raises(SilentError), qmp.connect(tmp_path / "qmp", os.getpid(), 0.5) as monitor:
            monitor.execute("query-status")
    assert lines[0] == "waiting for QEMU to answer"


def test_doit_s_database_in_use(lines: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as other:
        other.execute("begin exclusive")
        threading.Timer(1, lambda: other.execute("commit")).start()
        assert [*WalDB(path, None).rows()] == []
    assert lines[0] == f"waiting for another run, which has {path}"


def raw(bench: Workbench, *words: str) -> Ended:
    """The program's own words; the bench leaves out those about waits."""
    return attempt(*words, cwd=bench.root, env=bench.environment, timeout=PATIENCE)


def test_a_server_that_is_slow_to_answer(bench: Workbench) -> None:
    """As a user sees it: ``ov lock`` asks a server, which takes its time."""
    with serve(Site({"/a.qcow2": b"x"}, {"/a.qcow2": ["silent:2.6"]})) as site:
        vm = cloud_vm(Path("x"))
        vm["source"]["url"] = f"{site.url}/a.qcow2"
        bench.write({"web": vm})
        said = raw(bench, *OV, "lock").stderr
        site.faults["/a.qcow2"] = ["silent:2.6"]
        quiet = raw(bench, *OV, "-q", "lock").stderr
    assert f"waiting for an answer from {site.url}/a.qcow2\n" in said, said
    assert "waiting" not in quiet


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    bench = new_bench(tmp_path / "p", EMULATED, dodo=DODO)
    yield bench
    bench.settle()


@pytest.mark.slow
def test_a_guest_that_does_not_shut_down(bench: Workbench, tmp_path: Path) -> None:
    """By ov on a terminal, and by doit."""
    make_image(tmp_path / "a.qcow2")
    bench.write({"web": cloud_vm(tmp_path / "a.qcow2", ram="128M", cpus=1)})
    bench.ov("vm", "create", "web")
    try:
        with terminal(tmp_path) as screen:
            screen.line(f"cd p; export OV_VM_BACKEND=qemu OV_VM_ACCEL=tcg PYTHONPATH={ROOT}; clear")
            screen.line(f"{shlex.join(OV)} vm stop --timeout 3 web; echo status $?")
            screen.expect("waiting for web to shut down (after 3.0 s its power is cut)")
            screen.expect("status 0")
        bench.ov("vm", "start", "web")
        began = time.monotonic()
        said = raw(bench, *DOIT, "stop:web", "--timeout", "3")
        assert "waiting for web to shut down" in said.stdout + said.stderr, (said, time.monotonic() - began)
    finally:
        bench.ov("vm", "destroy", "--disk", "-y", "web")

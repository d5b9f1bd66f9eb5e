"""One connection, many scripts, against a real sshd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.guest.connection import Connection, connect
from tests.support.sshd import Sshd, new_sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with new_sshd(tmp_path_factory.mktemp("guest") / "sshd") as server:
        server.start()
        yield server


@pytest.fixture
def guest(server: Sshd) -> Iterator[Connection]:
    with connect(server.target) as guest:
        yield guest


def test_status_and_both_streams(guest: Connection) -> None:
    done = guest.run("echo out; echo err >&2; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_a_script_cannot_read_the_next_one(guest: Connection) -> None:
    assert guest.run("cat; echo end").stdout == b"end\n"
    assert guest.run("echo next").stdout == b"next\n"


def test_a_file_gets_its_content_and_mode(guest: Connection, tmp_path: Path) -> None:
    guest.upload(b"\0binary\xff", str(tmp_path / "it's one"), mode=0o640)
    assert (tmp_path / "it's one").read_bytes() == b"\0binary\xff"
    assert (tmp_path / "it's one").stat().st_mode & 0o7777 == 0o640

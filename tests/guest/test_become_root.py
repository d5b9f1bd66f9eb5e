"""Who becomes root in the guest, and what is said to who cannot. Accounts are made for that."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection, GuestFile, connect
from ovtasks.host.run import require, run
from tests.support import leftovers
from tests.support.accounts import add_account, remove_account
from tests.support.processes import alive
from tests.support.sshd import Sshd, new_sshd

pytestmark = [pytest.mark.root, pytest.mark.slow]


@contextlib.contextmanager
def open_sshd() -> Iterator[Sshd]:
    """Not started, in a folder that other users may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with new_sshd(Path(folder) / "sshd") as server:
            (server.folder / "authorized_keys").chmod(0o644)
            yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with open_sshd() as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def user(server: Sshd) -> Iterator[str]:
    name = f"ov-test-{secrets.token_hex(3)}"
    home = server.folder / "home"
    add_account(name, home)
    home.mkdir()
    run(["chown", name, home])
    try:
        run(["usermod", "--password", "*", name])  # not locked, and no password
        yield name
    finally:
        remove_account(name)


@contextlib.contextmanager
def rule(user: str, text: str) -> Iterator[None]:
    path = Path("/etc/sudoers.d", user)
    leftovers.note("absent", path)
    path.write_text(f"{user} ALL=(ALL) {text}\n", encoding="ascii")
    try:
        yield
    finally:
        path.unlink()


@pytest.fixture
def guest(server: Sshd, user: str) -> Iterator[Connection]:
    with connect(replace(server.target, user=user)) as guest:
        yield guest


def test_without_a_password(guest: Connection, user: str, tmp_path: Path) -> None:
    with rule(user, "NOPASSWD: ALL"):
        assert guest.run('id -un; echo "$A $HOME"', env={"A": "b"}, root=True).text == "root\nb /root\n"
        assert guest.run("id -un").text == f"{user}\n"
        guest.upload(b"x", str(tmp_path / "one"), owner=user, mode=0o600, root=True)
        guest.upload_many([GuestFile(str(tmp_path / "two"), b"x", 0o600)], root=True)
        assert [path.owner() for path in sorted(tmp_path.iterdir())] == [user, "root"]
        assert guest.download(str(tmp_path / "two"), root=True) == b"x"
        with pytest.raises(OvError, match="Permission denied"):
            guest.download(str(tmp_path / "two"))


def test_roots_processes_end_too(guest: Connection, user: str, tmp_path: Path) -> None:
    """Which the user could not signal."""
    pids = tmp_path / "pids"

    def stop() -> None:
        if pids.exists():
            raise KeyboardInterrupt

    with rule(user, "NOPASSWD: ALL"), pytest.raises(KeyboardInterrupt):
        guest.run(f"sleep 60 & echo $! >{pids}; sh -c 'echo $$ >>{pids}; sleep 60; :'", root=True, check=stop)
    assert len(pids.read_text().split()) == 2
    assert not [pid for pid in pids.read_text().split() if alive(int(pid))]


def test_who_has_no_rule_or_a_password(guest: Connection, user: str, tmp_path: Path) -> None:
    with pytest.raises(OvError, match=f"web: {user} cannot become root: sudo: a password is required") as caught:
        guest.run(f"touch {tmp_path}/ran", root=True)
    assert "NOPASSWD" in str(caught.value.hint)
    with rule(user, "ALL"), pytest.raises(OvError, match="a password is required"):
        guest.upload(b"x", str(tmp_path / "ran"), root=True)
    assert not list(tmp_path.iterdir()) and guest.run("echo on").text == "on\n"


def test_a_guest_without_sudo(user: str, tmp_path: Path) -> None:
    """Then doas is tried."""
    with open_sshd() as bare:
        bare.bare()
        for name in ("head", "id", "touch"):
            (bare.programs / name).symlink_to(require(name))
        bare.start()
        target = replace(bare.target, user=user)
        with connect(target) as guest, pytest.raises(OvError, match="the guest has neither sudo nor doas"):
            guest.run(f"touch {tmp_path}/ran", root=True)
        bare.program("doas", '[ "$1" = -n ] && shift && exec "$@"')
        with connect(target) as guest:
            assert guest.run("echo out", root=True).text == "out\n"
        bare.program("doas", "echo doas: Authentication required >&2; exit 1")
        with connect(target) as guest, pytest.raises(OvError, match="cannot become root: doas: Authentication requ"):
            guest.run("echo out", root=True)
    assert not list(tmp_path.iterdir())


def test_root_needs_no_sudo(tmp_path: Path) -> None:
    with new_sshd(tmp_path / "sshd") as server:
        server.bare()
        for name in ("head", "id"):
            (server.programs / name).symlink_to(require(name))
        server.start()
        with connect(server.target) as guest:
            assert guest.run("id -un; echo $PATH", root=True).text.startswith("root\n")

"""A real sshfs in a guest that is a real sshd of this host, with our server at the other end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest.connection_errors import ConnectionLostError
from ovtasks.guest.sshfs import Mounting, NoSshfsError, serve
from tests.support.programs import attempt, call
from tests.support.sshd import Sshd, new_sshd

SECONDS = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


class Served(threading.Thread):
    """Serves in the background; ``mounted`` is set, and ``error`` is how it ended."""

    def __init__(self, server: Sshd, mounting: Mounting) -> None:
        super().__init__(daemon=True)
        self.mounted = threading.Event()
        self.error: OvError | None = None
        self._server, self._mounting = server, mounting

    def run(self) -> None:
        try:
            serve(self._server.target, self._mounting, self.mounted.set)
        except OvError as e:
            self.error = e

    def ended(self) -> OvError:
        self.join(SECONDS)
        assert self.error is not None
        return self.error


def mounting(tmp_path: Path, *, read_only: bool = False) -> Mounting:
    """At a place with odd characters."""
    source = tmp_path / "it's shared"
    source.mkdir(exist_ok=True)
    (source / "file").write_text("of the host\n")
    tag = f"ov-test{os.getpid()}"
    return Mounting(tag, source, f"{tmp_path}/m n'\\t", read_only, lambda user, group: (4711, 4712))


def mounts(one: Mounting) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if line.startswith(f"{one.tag} ")]


def gone(one: Mounting) -> bool:
    end = time.monotonic() + SECONDS
    while mounts(one) and time.monotonic() < end:
        time.sleep(0.05)
    return not mounts(one)


@pytest.mark.root
def test_a_folder_is_mounted(server: Sshd, tmp_path: Path) -> None:
    server.start()
    one = mounting(tmp_path)
    (tmp_path / "secret").write_text("not shared")
    (one.source / "out").symlink_to(tmp_path / "secret")
    (one.source / "sub").mkdir()
    (one.source / "sub/up").symlink_to("../file")
    served = Served(server, one)
    served.start()
    assert served.mounted.wait(SECONDS), served.error
    seen = Path(one.target)
    assert (seen / "file").read_text() == "of the host\n" and (seen / "file").stat().st_uid == 4711
    assert (seen / "out").readlink() == tmp_path / "secret" and (seen / "sub/up").read_text() == "of the host\n"
    (seen / "new").write_bytes(os.urandom(3 << 20))
    (seen / "new").rename(seen / "sub/file")
    (seen / "sub/twin").hardlink_to(seen / "sub/file")
    assert (one.source / "sub/twin").read_bytes() == (seen / "sub/file").read_bytes()
    call("sh", "-c", 'cp "$1/file" "$1/sub/copy" && chmod 4755 "$1/sub/copy" && rm "$1/file"', "sh", seen)
    assert (one.source / "sub/copy").stat().st_mode & 0o7777 == 0o755 and not (one.source / "file").exists()
    call("umount", seen)
    assert "is not mounted" in served.ended().message and not mounts(one)


@pytest.mark.root
def test_it_ends_with_the_session(server: Sshd, tmp_path: Path) -> None:
    """And is mounted anew by the next one, which may find a rest."""
    server.start()
    one = mounting(tmp_path, read_only=True)
    for _ in range(2):
        served = Served(server, one)
        served.start()
        assert served.mounted.wait(SECONDS), served.error
        assert attempt("touch", f"{one.target}/file").returncode != 0
        server.stop()
        assert isinstance(served.ended(), ConnectionLostError) and gone(one)
        server.start()


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"sshfs": "echo hi; echo 'fuse: device not found' >&2; exit 1"}, "fuse: device not found"),
        ({"sshfs": "exit 3"}, "sshfs ended with status 3"),
        ({"sshfs": "case $1 in --help) ;; *) printf 'hello there, this is no packet';; esac"}, "does not speak SFTP"),
        ({"sshfs": "exit 0", "mkdir": "echo 'mkdir: no such luck' >&2; exit 1"}, "mkdir: no such luck"),
    ],
)
@pytest.mark.root
def test_what_goes_wrong(server: Sshd, tmp_path: Path, programs: dict[str, str], message: str) -> None:
    for name, script in programs.items():
        server.program(name, script)
    server.start()
    served = Served(server, mounting(tmp_path))
    served.start()
    error = served.ended()
    assert message in error.message and error.hint and not served.mounted.is_set()


def test_what_cannot_be_shared(server: Sshd, tmp_path: Path) -> None:
    one = mounting(tmp_path)
    (one.source / "file").unlink()
    one.source.rmdir()
    with pytest.raises(OvError, match="cannot be opened: No such file") as caught:
        serve(server.target, one, lambda: None)
    assert caught.value.hint == f"ls -ld '{one.source}'"


@pytest.mark.root
def test_a_guest_without_sshfs(server: Sshd, tmp_path: Path) -> None:
    server.bare()
    for name in ("grep", "id"):
        (server.programs / name).symlink_to(f"/bin/{name}" if name == "grep" else "/usr/bin/id")
    server.start()
    with pytest.raises(NoSshfsError, match="no sshfs in the guest") as caught:
        serve(server.target, mounting(tmp_path), lambda: None)
    assert "fuse-sshfs" in (caught.value.hint or "") and not caught.value.later


def test_a_guest_that_may_get_sshfs(server: Sshd, tmp_path: Path) -> None:
    """As the script ends while cloud-init is at work."""
    server.bare(sh=False)
    server.program("sh", "exit 41")
    server.start()
    with pytest.raises(NoSshfsError, match="no sshfs in the guest, and cloud-init is at work") as caught:
        serve(server.target, mounting(tmp_path), lambda: None)
    assert caught.value.later


def test_a_guest_where_nobody_becomes_root(server: Sshd, tmp_path: Path) -> None:
    server.bare()
    server.program("id", "echo 1000")
    server.start()
    with pytest.raises(OvError, match="cannot become root to mount") as caught:
        serve(server.target, mounting(tmp_path), lambda: None)
    assert "NOPASSWD" in (caught.value.hint or "")

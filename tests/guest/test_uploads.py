"""Files into a guest: whole, with owner and mode, or not at all."""

from __future__ import annotations

import io
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection, GuestFile, connect
from ovtasks.guest.uploads import place_many, place_stream
from ovtasks.host.run import require
from tests.support.programs import call
from tests.support.sshd import new_sshd

pytestmark = pytest.mark.slow

EVERY_BYTE = bytes(range(256))
NAMES = ("plain", "it's one", 'a "b" $c `d` \\e', "line\nbreak", "-n", "ümlaut", "*")


@pytest.fixture(params=["sh", "bash", "busybox"], scope="module")
def any_guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A guest with nothing but that shell and its own programs."""
    with new_sshd(tmp_path_factory.mktemp("guest") / "sshd") as server:
        (server.programs / "sh").symlink_to(require(request.param))
        if request.param == "busybox":
            for name in ("base64", "cat", "chmod", "chown", "head", "mv", "rm", "sync", "wc"):
                (server.programs / name).symlink_to(require("busybox"))
            server.bare(sh=False)
        server.start()
        with connect(server.target) as guest:
            yield guest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_content_and_mode_by_either_way(any_guest: Connection, tmp_path: Path) -> None:
    for name in NAMES:
        any_guest.upload(EVERY_BYTE, str(tmp_path / name), mode=0o4750)
        assert ((tmp_path / name).read_bytes(), mode(tmp_path / name)) == (EVERY_BYTE, 0o4750)
    contents = (EVERY_BYTE, EVERY_BYTE[1:], b"", b"it's\n%s\\n\n\n", b"x" * 100_000, b"\0")
    files = [GuestFile(str(tmp_path / f"{at} {NAMES[at]}"), content, 0o600 + at) for at, content in enumerate(contents)]
    any_guest.upload_many(files)
    for file in files:
        assert (Path(file.path).read_bytes(), mode(Path(file.path))) == (file.content, file.mode)
    assert len(list(tmp_path.iterdir())) == len(NAMES) + len(files)
    assert any_guest.run("umask; echo on").text.endswith("\non\n")


def test_large_files_and_every_kind_of_source(any_guest: Connection, tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    (tmp_path / "source").write_bytes(data)
    half = io.BytesIO(data)
    half.seek(len(data) // 2)
    for content, expected in ((tmp_path / "source", data), (half, data[len(data) // 2 :]), (b"", b"")):
        any_guest.upload(content, str(tmp_path / "there"))
        assert (tmp_path / "there").read_bytes() == expected
    assert any_guest.download(str(tmp_path / "source")) == data


def by_stream(guest: Connection, path: Path, content: bytes = b"new") -> None:
    guest.upload(content, str(path))


def by_script(guest: Connection, path: Path, content: bytes = b"new") -> None:
    guest.upload_many([GuestFile(str(path.parent / "other"), b"other"), GuestFile(str(path), content)])


@pytest.mark.parametrize("upload", [by_stream, by_script])
def test_what_was_there(upload: Callable[[Connection, Path], None], guest: Connection, tmp_path: Path) -> None:
    """A file and a link are replaced, what the link leads to is not touched; a folder is refused; so is no folder."""
    (tmp_path / "target").write_text("keep")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / ".link.part").symlink_to("target")
    (tmp_path / "file").write_text("old")
    for name in ("link", "file"):
        upload(guest, tmp_path / name)
        assert (tmp_path / name).read_text() == "new" and not (tmp_path / name).is_symlink()
    assert (tmp_path / "target").read_text() == "keep"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OvError, match="folder is a directory"):
        upload(guest, tmp_path / "folder")
    with pytest.raises(OvError, match=r"cannot write .*absent/file.*No such file|nonexistent"):
        upload(guest, tmp_path / "absent" / "file")
    names = {path.name for path in tmp_path.rglob("*")} - {"other"}
    assert names == {"target", "link", "file", "folder"}
    assert guest.run("echo on").text == "on\n"


def test_none_of_many_if_one_fails(guest: Connection, tmp_path: Path) -> None:
    files = [GuestFile(str(tmp_path / "one"), b"1"), GuestFile(str(tmp_path / "absent" / "two"), b"2")]
    with pytest.raises(OvError, match="absent/two"):
        guest.upload_many(files)
    assert not list(tmp_path.iterdir())


def test_an_upload_that_breaks_off_leaves_the_old_file(guest: Connection, tmp_path: Path) -> None:
    """Interrupted, or its source became shorter: the temporary file goes, too."""
    (tmp_path / "file").write_text("old")
    source = tmp_path / "source"
    source.write_bytes(bytes(40 << 20))

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 8 << 20:
                raise KeyboardInterrupt
            return super().read(size)

    class Shorter(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return b"" if self.tell() > 8 << 20 else super().read(size)

    with pytest.raises(KeyboardInterrupt):
        guest.upload(Interrupted(bytes(20 << 20)), str(tmp_path / "file"))
    with pytest.raises(OvError, match="shorter"):
        guest.upload(Shorter(bytes(20 << 20)), str(tmp_path / "file"))
    assert {path.name for path in tmp_path.iterdir()} == {"file", "source"}
    assert (tmp_path / "file").read_text() == "old" and guest.run("echo on").text == "on\n"


@pytest.mark.root
def test_owners_by_name_and_number(guest: Connection, tmp_path: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    guest.upload(b"x", str(tmp_path / "one"), owner="daemon:root", mode=0o4755)
    guest.upload_many([GuestFile(str(tmp_path / "two"), b"x", 0o640, f"{daemon.pw_uid}:{daemon.pw_gid}")])
    one, two = ((tmp_path / name).stat() for name in ("one", "two"))
    assert (one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) == (daemon.pw_uid, 0, 0o4755)
    assert (two.st_uid, two.st_gid) == (daemon.pw_uid, daemon.pw_gid)
    with pytest.raises(OvError, match=r"cannot write .*three.*invalid user"):
        guest.upload(b"x", str(tmp_path / "three"), owner="nobody-of-that-name")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.root
def test_a_full_disk(guest: Connection, tmp_path: Path) -> None:
    """The old file stays, and what did not fit is gone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    call("mount", "-t", "tmpfs", "-o", "size=1m", "none", disk)
    try:
        (disk / "file").write_text("old")
        for size in (3 << 20, 40 << 20):
            with pytest.raises(OvError, match="No space left"):
                guest.upload(bytes(size), str(disk / "file"))
        for count, content in ((1, bytes(3 << 20)), (20, b"text" * 16000)):
            with pytest.raises(OvError, match="No space left"):
                guest.upload_many([GuestFile(str(disk / f"file{at}"), content) for at in range(count)])
        assert [path.name for path in disk.iterdir()] == ["file"] and (disk / "file").read_text() == "old"
    finally:
        call("umount", disk)


def test_a_file_that_cannot_be_read(guest: Connection, tmp_path: Path) -> None:
    with pytest.raises(OvError, match=r"web: cannot read .*absent.*No such file"):
        guest.download(str(tmp_path / "absent"))


@pytest.mark.parametrize(("path", "rights", "owner"), [("a", 0, None), ("/a/", 0, None), ("/a", 0o10000, None)])
def test_places_that_are_none(path: str, rights: int, owner: str | None) -> None:
    with pytest.raises(ValueError, match="is no"):
        GuestFile(path, b"", rights, owner)
    with pytest.raises(ValueError, match="is no"):
        place_stream(path, 1, rights, owner)


@pytest.mark.parametrize("owner", ["", "a b", "a;b", "-R", "a:b:c", "$(id)"])
def test_owners_that_are_none(owner: str) -> None:
    with pytest.raises(ValueError, match="is not an owner"):
        GuestFile("/a", b"", 0, owner)


def test_no_files_are_a_script_too(guest: Connection) -> None:
    assert guest.run(place_many([]) + b"echo on").text == "on\n"

"""What a guest may say to the server of a shared folder, honest or not."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.guest import sftp
from ovtasks.guest.sftp import SftpServer
from ovtasks.guest.sftp_packets import (
    APPEND,
    CREATE,
    READ,
    WRITE,
    BrokenPacketError,
    PacketReader,
    text,
)
from ovtasks.guest.sftp_packets import PacketKind as Kind
from ovtasks.guest.sftp_packets import SftpStatus as Status
from ovtasks.host.confined import Confined

NOTHING = struct.pack(">I", 0)
"""No attributes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[SftpServer]:
    confined = Confined(folder)
    yield SftpServer(confined, lambda user, group: (4711, 4712))
    confined.close()


def ask(server: SftpServer, kind: int, *parts: bytes) -> tuple[Kind, PacketReader]:
    got, body = server.answer(bytes([kind]) + struct.pack(">I", 9) + b"".join(parts))
    reader = PacketReader(body)
    assert reader.number() == 9
    return got, reader


def status(server: SftpServer, kind: int, *parts: bytes) -> int:
    got, reader = ask(server, kind, *parts)
    assert got is Kind.STATUS
    return reader.number()


def opened(server: SftpServer, path: bytes, flags: int = READ) -> bytes:
    got, reader = ask(server, Kind.OPEN, text(path), struct.pack(">I", flags), NOTHING)
    assert got is Kind.HANDLE
    return text(reader.text())


def place(offset: int) -> bytes:
    return struct.pack(">Q", offset)


def test_a_greeting(server: SftpServer) -> None:
    kind, body = server.answer(bytes([Kind.INIT]) + struct.pack(">I", 6))
    assert kind is Kind.VERSION and PacketReader(body).number() == 3
    for name in (b"posix-rename@openssh.com", b"statvfs@openssh.com", b"hardlink@openssh.com", b"fsync@openssh.com"):
        assert name in body


def test_a_file(server: SftpServer, folder: Path) -> None:
    handle = opened(server, b"/new", READ | WRITE | CREATE)
    assert status(server, Kind.WRITE, handle, place(2), text(b"abc")) == Status.OK
    got, reader = ask(server, Kind.READ, handle, place(0), struct.pack(">I", 100))
    assert got is Kind.DATA and reader.text() == b"\0\0abc"
    assert status(server, Kind.READ, handle, place(5), struct.pack(">I", 100)) == Status.EOF
    wanted = struct.pack(">IQIIIII", 15, 3, 1, 1, 0o6640, 10, 20)  # size, owner, mode, times
    assert status(server, Kind.FSETSTAT, handle, wanted) == Status.OK
    found = (folder / "new").stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode), found.st_atime, found.st_mtime) == (3, 0o640, 10, 20)
    assert found.st_uid == os.geteuid(), "the owner is the host's"
    extended = struct.pack(">I", 1 << 31) + struct.pack(">I", 1) + text(b"a") + text(b"b")
    assert status(server, Kind.SETSTAT, text(b"new"), extended) == Status.OK
    assert status(server, Kind.EXTENDED, text(b"fsync@openssh.com"), handle) == Status.OK
    assert status(server, Kind.CLOSE, handle) == Status.OK
    assert status(server, Kind.CLOSE, handle) == Status.NO_SUCH_FILE
    handle = opened(server, b"new", WRITE | APPEND)
    assert status(server, Kind.WRITE, handle, place(0), text(b"end")) == Status.OK
    assert (folder / "new").read_bytes() == b"\0\0aend"


def test_whose_it_is(server: SftpServer) -> None:
    for kind, what in (
        (Kind.LSTAT, text(b"file")),
        (Kind.STAT, text(b"file")),
        (Kind.FSTAT, opened(server, b"file")),
    ):
        got, reader = ask(server, kind, what)
        assert got is Kind.ATTRS and reader.number() == 15
        assert reader.number(">Q") == 7 and (reader.number(), reader.number()) == (4711, 4712)


def test_a_folder(server: SftpServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "_LISTED", 2)
    (folder / "odd\udcff").touch()
    _, reader = ask(server, Kind.OPENDIR, text(b"/"))
    handle = text(reader.text())
    (folder / "odd\udcff").unlink()  # between two answers
    names = []
    while (answer := ask(server, Kind.READDIR, handle))[0] is Kind.NAME:
        for _ in range(answer[1].number()):
            names.append(answer[1].text())
            answer[1].text(), answer[1].attributes()
    assert sorted(names) == [b".", b"..", b"file", b"out"]
    assert status(server, Kind.READ, handle, place(0), struct.pack(">I", 1)) == Status.FAILURE
    assert status(server, Kind.READDIR, opened(server, b"file")) == Status.NO_SUCH_FILE
    assert status(server, Kind.MKDIR, text(b"sub"), NOTHING) == Status.OK
    assert status(server, Kind.RENAME, text(b"file"), text(b"sub/file")) == Status.OK
    assert status(server, Kind.RENAME, text(b"sub/file"), text(b"out")) == Status.FAILURE
    assert status(server, Kind.RMDIR, text(b"sub")) == Status.FAILURE
    assert status(server, Kind.REMOVE, text(b"sub/file")) == Status.OK
    assert status(server, Kind.RMDIR, text(b"sub")) == Status.OK


def test_links(server: SftpServer, folder: Path) -> None:
    got, reader = ask(server, Kind.READLINK, text(b"out"))
    assert (got, reader.number()) == (Kind.NAME, 1) and reader.text() == os.fsencode(folder.parent / "secret")
    assert status(server, Kind.SYMLINK, text(b"/etc/shadow"), text(b"made")) == Status.OK
    assert (folder / "made").readlink() == Path("/etc/shadow")
    assert status(server, Kind.EXTENDED, text(b"hardlink@openssh.com"), text(b"file"), text(b"twin")) == Status.OK
    moved = (text(b"posix-rename@openssh.com"), text(b"made"), text(b"twin"))
    assert status(server, Kind.EXTENDED, *moved) == Status.OK and (folder / "twin").is_symlink()


@pytest.mark.parametrize("path", [b"../secret", b"/../secret", b"out", b"sub/../../secret", b"file/..", b".."])
def test_no_way_out(server: SftpServer, folder: Path, path: bytes) -> None:
    refused = {Status.PERMISSION_DENIED, Status.NO_SUCH_FILE}
    for flags in (READ, WRITE, READ | WRITE | CREATE):
        assert status(server, Kind.OPEN, text(path), struct.pack(">I", flags), NOTHING) in refused
    assert status(server, Kind.OPENDIR, text(path)) in refused
    assert status(server, Kind.SETSTAT, text(path), struct.pack(">IQ", 1, 0)) in refused
    assert (folder.parent / "secret").read_bytes() == b"secret"


def test_the_real_path_is_one_in_the_folder(server: SftpServer) -> None:
    for asked, found in ((b".", b"/"), (b"/etc//./passwd", b"/etc/passwd")):
        got, reader = ask(server, Kind.REALPATH, text(asked))
        assert (got, reader.number(), reader.text()) == (Kind.NAME, 1, found)
    assert status(server, Kind.REALPATH, text(b"/..")) == Status.PERMISSION_DENIED


def test_what_is_nonsense(server: SftpServer) -> None:
    assert status(server, 77) == Status.OP_UNSUPPORTED
    assert status(server, Kind.EXTENDED, text(b"check-file")) == Status.OP_UNSUPPORTED
    assert status(server, Kind.LSTAT, text(b"a\0b")) == Status.BAD_MESSAGE
    assert status(server, Kind.LSTAT, text(b"x" * 300)) == Status.BAD_MESSAGE
    assert status(server, Kind.WRITE, opened(server, b"file"), place(0), text(b"x")) == Status.NO_SUCH_FILE
    assert status(server, Kind.READ, opened(server, b"file"), place(1 << 63), NOTHING) == Status.BAD_MESSAGE
    for packet in (b"", b"\x03", bytes([Kind.LSTAT]) + NOTHING + struct.pack(">I", 5) + b"abc"):
        with pytest.raises(BrokenPacketError):
            server.answer(packet)


def test_room(server: SftpServer) -> None:
    got, reader = ask(server, Kind.EXTENDED, text(b"statvfs@openssh.com"), text(b"/"))
    assert got is Kind.EXTENDED_REPLY and reader.number(">Q") == os.statvfs("/").f_bsize


def test_so_many_files_and_no_more(server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "MOST_HANDLES", 2)
    opened(server, b"file"), opened(server, b"file")
    assert status(server, Kind.OPEN, text(b"file"), struct.pack(">I", READ), NOTHING) == Status.FAILURE
    assert status(server, Kind.OPENDIR, text(b"/")) == Status.FAILURE


def test_for_reading(folder: Path) -> None:
    server = SftpServer(Confined(folder, read_only=True), lambda user, group: (user, group), read_only=True)
    denied = Status.PERMISSION_DENIED
    assert status(server, Kind.OPEN, text(b"file"), struct.pack(">I", WRITE), NOTHING) == denied
    handle = opened(server, b"file")
    assert status(server, Kind.FSETSTAT, handle, struct.pack(">II", 4, 0o777)) == denied
    assert status(server, Kind.WRITE, handle, place(0), text(b"x")) != Status.OK
    assert status(server, Kind.SETSTAT, text(b"file"), struct.pack(">II", 4, 0o777)) == denied
    for kind in (Kind.REMOVE, Kind.RMDIR):
        assert status(server, kind, text(b"file")) == denied
    assert status(server, Kind.MKDIR, text(b"new"), NOTHING) == denied
    for name in (b"posix-rename@openssh.com", b"hardlink@openssh.com"):
        assert status(server, Kind.EXTENDED, text(name), text(b"file"), text(b"new")) == denied
    assert (folder / "file").read_bytes() == b"content"


class Said:
    """A stream with what the guest says, in small pieces."""

    def __init__(self, data: bytes) -> None:
        self.data, self.heard = data, b""

    def recv(self, size: int, /) -> bytes:
        piece, self.data = self.data[: min(size, 3)], self.data[min(size, 3) :]
        return piece

    def sendall(self, data: bytes, /) -> None:
        self.heard += data


def test_a_stream(server: SftpServer) -> None:
    packet = bytes([Kind.INIT]) + struct.pack(">I", 3)
    opening = bytes([Kind.OPEN]) + NOTHING + text(b"file") + struct.pack(">I", READ) + NOTHING
    stream = Said(text(packet) + text(opening) + b"\0\0")
    before = len(list(Path("/proc/self/fd").iterdir()))
    server.serve(stream)
    assert bytes([Kind.HANDLE]) in stream.heard
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "what the guest left open is closed"
    for size in (0, (256 << 10) + 1):
        with pytest.raises(BrokenPacketError):
            server.serve(Said(struct.pack(">I", size) + b"x"))

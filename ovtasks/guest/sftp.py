"""A server for SFTP that serves one folder, :class:`ovtasks.host.confined.Confined`, to a guest that is not trusted.

OpenSSH's sftp-server would give the guest every file of the user's: it knows no folder to stay in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ovtasks.guest import sftp_packets as packets
from ovtasks.guest.sftp_packets import BrokenPacketError, PacketKind, PacketReader, SftpStatus
from ovtasks.host.confined import Confined, allowed, names

LONGEST = 256 << 10
"""The most bytes of a packet, as OpenSSH has it."""
MOST_HANDLES = 1024
"""How many files and folders a guest may have open."""
_LISTED = 100
"""Names in an answer to READDIR."""


class PacketStream(Protocol):
    """What carries the packets; a channel of paramiko's is one."""

    def recv(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty at the end."""

    def sendall(self, data: bytes, /) -> object:
        """Send all of it."""


@dataclass
class _OpenFile:
    """A file, or a folder whose ``rest`` is still to be listed."""

    fd: int
    rest: Iterator[bytes] | None = None


@dataclass
class SftpServer:
    """Answers requests about ``folder``. ``owner`` turns the numbers of user and group into those that others see."""

    folder: Confined
    owner: Callable[[int, int], tuple[int, int]]
    read_only: bool = False
    _handles: dict[bytes, _OpenFile] = field(default_factory=dict)
    _next: int = 0

    def serve(self, stream: PacketStream) -> None:
        """Answer until the stream ends.

        :raises BrokenPacketError: the other side does not speak SFTP. :raises OSError: the stream breaks.
        """
        try:
            while (packet := _receive(stream)) is not None:
                kind, body = self.answer(packet)
                stream.sendall(struct.pack(">IB", len(body) + 1, kind) + body)
        finally:
            for handle in self._handles.values():
                os.close(handle.fd)
            self._handles.clear()

    def answer(self, packet: bytes) -> tuple[PacketKind, bytes]:
        """The kind and body of the answer to a packet.

        :raises BrokenPacketError: it is none.
        """
        reader = PacketReader(packet)
        kind = reader.number(">B")
        if kind == PacketKind.INIT:
            known = b"".join(packets.text(name) + packets.text(value) for name, value in packets.EXTENSIONS.items())
            return PacketKind.VERSION, struct.pack(">I", packets.VERSION) + known
        number = struct.pack(">I", reader.number())
        try:
            kind, body = self._perform(kind, reader)
        except OSError as e:
            kind, body = PacketKind.STATUS, packets.status(packets.status_of(e), e.strerror or "")
        except ValueError as e:  # a path with a zero byte
            if isinstance(e, BrokenPacketError):
                raise
            kind, body = PacketKind.STATUS, packets.status(SftpStatus.BAD_MESSAGE)
        return kind, number + body

    def _perform(self, kind: int, reader: PacketReader) -> tuple[PacketKind, bytes]:
        ask, change = _ASK.get(kind), _CHANGE.get(kind)
        if ask is not None:
            return ask(self, reader)
        if change is None:
            return PacketKind.STATUS, packets.status(SftpStatus.OP_UNSUPPORTED)
        change(self, reader)
        return PacketKind.STATUS, packets.status(SftpStatus.OK)

    def _open(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        path, flags, wanted = reader.text(), packets.flags_of(reader.number()), reader.attributes()
        self._need_room()
        mode = 0o666 if wanted.mode is None else wanted.mode
        return self._keep(_OpenFile(self.folder.open(path, flags, mode)))

    def _open_folder(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        path = reader.text()
        self._need_room()
        fd = self.folder.open_folder(path)
        return self._keep(_OpenFile(fd, _names_in(fd)))

    def _need_room(self) -> None:
        if len(self._handles) >= MOST_HANDLES:
            raise OSError(errno.EMFILE, "too many open files")

    def _keep(self, handle: _OpenFile) -> tuple[PacketKind, bytes]:
        self._next += 1
        name = str(self._next).encode()
        self._handles[name] = handle
        return PacketKind.HANDLE, packets.text(name)

    def _handle(self, reader: PacketReader) -> _OpenFile:
        try:
            return self._handles[reader.text()]
        except KeyError:
            raise OSError(errno.EBADF, "no such handle") from None

    def _close(self, reader: PacketReader) -> None:
        name = reader.text()
        if (handle := self._handles.pop(name, None)) is None:
            raise OSError(errno.EBADF, "no such handle")
        os.close(handle.fd)

    def _read(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        handle, offset, size = self._handle(reader), reader.number(">Q"), reader.number()
        data = os.pread(handle.fd, min(size, LONGEST - 1024), _offset(offset))
        return (PacketKind.DATA, packets.text(data)) if data else (PacketKind.STATUS, packets.status(SftpStatus.EOF))

    def _write(self, reader: PacketReader) -> None:
        handle, offset, data = self._handle(reader), _offset(reader.number(">Q")), memoryview(reader.text())
        while data:
            done = os.pwrite(handle.fd, data, offset)
            data, offset = data[done:], offset + done

    def _list(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        handle = self._handle(reader)
        if handle.rest is None:
            raise OSError(errno.ENOTDIR, "it is a file")
        found: list[tuple[bytes, bytes]] = []
        for name in handle.rest:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                own = b"." if name == b".." else name
                found.append((name, self._seen(os.stat(own, dir_fd=handle.fd, follow_symlinks=False))))
            if len(found) == _LISTED:
                break
        return (
            (PacketKind.NAME, packets.listed(found)) if found else (PacketKind.STATUS, packets.status(SftpStatus.EOF))
        )

    def _look(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        """LSTAT, and STAT as well: whoever asks follows links on their own side."""
        return PacketKind.ATTRS, self._seen(self.folder.look(reader.text()))

    def _look_at_open(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        return PacketKind.ATTRS, self._seen(os.fstat(self._handle(reader).fd))

    def _seen(self, found: os.stat_result) -> bytes:
        return packets.attributes(found, self.owner(found.st_uid, found.st_gid))

    def _set(self, reader: PacketReader) -> None:
        path, wanted = reader.text(), reader.attributes()
        if wanted.size is not None:
            self.folder.truncate(path, _offset(wanted.size))
        if wanted.mode is not None:
            self.folder.set_mode(path, wanted.mode)
        if wanted.times is not None:
            self.folder.set_times(path, *wanted.times)

    def _set_open(self, reader: PacketReader) -> None:
        fd, wanted = self._handle(reader).fd, reader.attributes()
        if self.read_only:
            raise PermissionError(errno.EACCES, "this folder is shared for reading")
        if wanted.size is not None:
            os.ftruncate(fd, _offset(wanted.size))
        if wanted.mode is not None:
            os.fchmod(fd, allowed(wanted.mode, os.fstat(fd)))
        if wanted.times is not None:
            os.utime(fd, wanted.times)

    def _remove(self, reader: PacketReader) -> None:
        self.folder.remove(reader.text())

    def _make_folder(self, reader: PacketReader) -> None:
        path, wanted = reader.text(), reader.attributes()
        self.folder.make_folder(path, 0o777 if wanted.mode is None else wanted.mode)

    def _remove_folder(self, reader: PacketReader) -> None:
        self.folder.remove_folder(reader.text())

    def _rename(self, reader: PacketReader) -> None:
        self.folder.rename(reader.text(), reader.text(), replace=False)

    def _symlink(self, reader: PacketReader) -> None:
        """OpenSSH's order, which all follow: where it leads, then its name."""
        self.folder.symlink(reader.text(), reader.text())

    def _real_path(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        way = names(reader.text())
        return PacketKind.NAME, packets.listed([(b"/" + b"/".join(way), struct.pack(">I", 0))])

    def _read_link(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        return PacketKind.NAME, packets.listed([(self.folder.read_link(reader.text()), struct.pack(">I", 0))])

    def _extended(self, reader: PacketReader) -> tuple[PacketKind, bytes]:
        name = reader.text()
        if name == b"statvfs@openssh.com":
            return PacketKind.EXTENDED_REPLY, packets.room(self.folder.room(), read_only=self.read_only)
        if name == b"posix-rename@openssh.com":
            self.folder.rename(reader.text(), reader.text(), replace=True)
        elif name == b"hardlink@openssh.com":
            self.folder.link(reader.text(), reader.text())
        elif name == b"fsync@openssh.com":
            os.fsync(self._handle(reader).fd)
        else:
            return PacketKind.STATUS, packets.status(SftpStatus.OP_UNSUPPORTED)
        return PacketKind.STATUS, packets.status(SftpStatus.OK)


_ASK: Mapping[int, Callable[[SftpServer, PacketReader], tuple[PacketKind, bytes]]] = {
    PacketKind.OPEN: SftpServer._open,
    PacketKind.OPENDIR: SftpServer._open_folder,
    PacketKind.READ: SftpServer._read,
    PacketKind.READDIR: SftpServer._list,
    PacketKind.LSTAT: SftpServer._look,
    PacketKind.STAT: SftpServer._look,
    PacketKind.FSTAT: SftpServer._look_at_open,
    PacketKind.REALPATH: SftpServer._real_path,
    PacketKind.READLINK: SftpServer._read_link,
    PacketKind.EXTENDED: SftpServer._extended,
}
_CHANGE: Mapping[int, Callable[[SftpServer, PacketReader], None]] = {
    PacketKind.CLOSE: SftpServer._close,
    PacketKind.WRITE: SftpServer._write,
    PacketKind.SETSTAT: SftpServer._set,
    PacketKind.FSETSTAT: SftpServer._set_open,
    PacketKind.REMOVE: SftpServer._remove,
    PacketKind.MKDIR: SftpServer._make_folder,
    PacketKind.RMDIR: SftpServer._remove_folder,
    PacketKind.RENAME: SftpServer._rename,
    PacketKind.SYMLINK: SftpServer._symlink,
}


def _names_in(fd: int) -> Iterator[bytes]:
    """The names in a folder, read as they are asked for: a guest can make very many."""
    yield from (b".", b"..")
    with os.scandir(fd) as found:
        for entry in found:
            yield os.fsencode(entry.name)


def _offset(number: int) -> int:
    """A place in a file, as the kernel takes it."""
    if number >= 1 << 63:
        raise OSError(errno.EINVAL, "beyond the end of any file")
    return number


def _receive(stream: PacketStream) -> bytes | None:
    """The next packet; None at the end of the stream."""
    head = _exactly(stream, 4)
    if head is None:
        return None
    (size,) = struct.unpack(">I", head)
    if not 0 < size <= LONGEST:
        raise BrokenPacketError(f"a packet of {size} bytes")
    return _exactly(stream, size)


def _exactly(stream: PacketStream, size: int) -> bytes | None:
    """So many bytes; None if the stream ends before."""
    found = bytearray()
    while len(found) < size:
        if not (data := stream.recv(size - len(found))):
            return None
        found += data
    return bytes(found)

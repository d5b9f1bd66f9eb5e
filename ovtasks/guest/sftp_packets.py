"""The words of SFTP, version 3 (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions (its file PROTOCOL)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

VERSION = 3
EXTENSIONS = {
    b"posix-rename@openssh.com": b"1",
    b"statvfs@openssh.com": b"2",
    b"hardlink@openssh.com": b"1",
    b"fsync@openssh.com": b"1",
}
"""What else the server can, with the versions."""


class PacketKind(IntEnum):
    """The kinds of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class SftpStatus(IntEnum):
    """How a request ended."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32
_SIZE, _OWNER, _MODE, _TIMES = 1, 2, 4, 8
_EXTENDED = 1 << 31
_STATUS = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF), SftpStatus.NO_SUCH_FILE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), SftpStatus.PERMISSION_DENIED),
    **dict.fromkeys((errno.EINVAL, errno.ENAMETOOLONG), SftpStatus.BAD_MESSAGE),
    **dict.fromkeys((errno.EOPNOTSUPP, errno.ENOSYS), SftpStatus.OP_UNSUPPORTED),
}


class BrokenPacketError(ValueError):
    """The other side does not speak SFTP."""


@dataclass(frozen=True, slots=True)
class NewAttributes:
    """Attributes to set; None: as it is. Times are in seconds: last access, last change. ``owner`` is not heeded."""

    size: int | None = None
    mode: int | None = None
    times: tuple[int, int] | None = None


class PacketReader:
    """Takes values from the front of a packet.

    :raises BrokenPacketError: it is too short.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str = ">I") -> int:
        """A number, by its form in :mod:`struct`."""
        try:
            (found,) = struct.unpack_from(form, self._data, self._at)
        except struct.error:
            raise BrokenPacketError("a packet is too short") from None
        self._at += struct.calcsize(form)
        return int(found)

    def text(self) -> bytes:
        """Bytes with their length before them."""
        size = self.number()
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise BrokenPacketError("a packet is too short")
        self._at += size
        return found

    def attributes(self) -> NewAttributes:
        """Attributes to set."""
        flags = self.number()
        size = self.number(">Q") if flags & _SIZE else None
        if flags & _OWNER:
            self.number(), self.number()
        mode = self.number() if flags & _MODE else None
        times = (self.number(), self.number()) if flags & _TIMES else None
        for _ in range(self.number() if flags & _EXTENDED else 0):
            self.text(), self.text()
        return NewAttributes(size, mode, times)


def text(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return struct.pack(">I", len(data)) + data


def attributes(found: os.stat_result, owner: tuple[int, int]) -> bytes:
    """What a file is, with the numbers of its user and group as the other side is to see them."""
    times = (min(max(int(time), 0), 0xFFFFFFFF) for time in (found.st_atime, found.st_mtime))
    return struct.pack(
        ">IQIIIII", _SIZE | _OWNER | _MODE | _TIMES, found.st_size, *owner, found.st_mode & 0xFFFFFFFF, *times
    )


def listed(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Names with their attributes. The line for people is the name alone."""
    return struct.pack(">I", len(entries)) + b"".join(text(name) + text(name) + more for name, more in entries)


def room(found: os.statvfs_result, *, read_only: bool) -> bytes:
    """The body of an answer to statvfs@openssh.com."""
    flags = (1 if read_only else 0) | 2  # ST_RDONLY, ST_NOSUID
    sizes = (found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail)
    files = (found.f_files, found.f_ffree, found.f_favail)
    return struct.pack(">11Q", *sizes, *files, 0, flags, found.f_namemax)


def status(code: SftpStatus, words: str = "") -> bytes:
    """The body of a status."""
    return struct.pack(">I", code) + text(words.encode(errors="replace")) + text(b"")


def status_of(error: OSError) -> SftpStatus:
    """The status for an error of the kernel's, as OpenSSH's server chooses it."""
    return _STATUS.get(error.errno or 0, SftpStatus.FAILURE)


def flags_of(wanted: int) -> int:
    """The flags of open(2) for those of SFTP."""
    both = READ | WRITE
    flags = os.O_RDWR if wanted & both == both else os.O_WRONLY if wanted & WRITE else os.O_RDONLY
    for ours, theirs in (
        (APPEND, os.O_APPEND),
        (CREATE, os.O_CREAT),
        (TRUNCATE, os.O_TRUNC),
        (EXCLUSIVE, os.O_EXCL),
    ):
        flags |= theirs if wanted & ours else 0
    return flags

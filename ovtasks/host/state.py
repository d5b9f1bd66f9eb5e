"""The one way to read files of our own: receipts, records, keys, caches. Whatever is in their place, it is told.

Nothing is followed, waited for or believed for its name: a link, a pipe, a folder, another user's file, one that is too
large, no JSON or nested to exhaust us is a :class:`StateError`, and a missing file is None.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError, parent, trusted
from ovtasks.jsonvalue import Json, parse

MAX_BYTES = 16 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a symbolic link"}


class StateError(OvError):
    """A file of ours that is there and is of no use. ``reason`` is the message without the file's name."""

    def __init__(self, path: Path, reason: str, *, hint: str | None = None) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(f"{path} {reason}", hint=hint or f"move it away: mv {quoted} {quoted}.old")
        self.path = path
        self.reason = reason


def read_state(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> bytes | None:
    """The content of a file of ours; None: there is none.

    ``limit`` is in bytes. ``private``: it must be ours, by no other name, and for us alone (0600), because what is in
    it is believed, as marshal's or a pickle's content is, or secret.

    :raises StateError: it is no such file. :raises UnsafeError: a link leads to its folder.
    """
    try:
        with parent(path) as (folder, name):
            fd = os.open(name, _FLAGS, dir_fd=folder)
            try:
                found = os.fstat(fd)
                if problem := _problem(found, folder, limit, private):
                    raise StateError(path, problem)
                data = _read(fd, found.st_size, limit)
            finally:
                os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        kinds = {errno.ELOOP: "is a symbolic link", errno.ENXIO: "is no file"}
        reason = kinds.get(e.errno or 0) or f"cannot be read: {os.strerror(e.errno or 0).lower()}"
        raise StateError(path, reason) from None
    if len(data) > limit:
        raise StateError(path, _too_large(limit))
    return data


def _problem(found: os.stat_result, folder: int, limit: int, private: bool) -> str:
    """Why this is no file of ours; empty: it is one."""
    if not stat.S_ISREG(found.st_mode):
        return f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'a device')}"
    if not (found.st_uid == os.geteuid() if private else trusted(found, folder)):
        return "belongs to another user"
    if private and found.st_mode & 0o077:
        return f"may be used by others (mode {stat.S_IMODE(found.st_mode):04o})"
    if private and found.st_nlink != 1:
        return "has another name elsewhere"
    return _too_large(limit) if found.st_size > limit else ""


def _too_large(limit: int) -> str:
    return f"is larger than {limit >> 20} MiB" if limit >= 1 << 20 else f"is larger than {limit} bytes"


def _read(fd: int, size: int, limit: int) -> bytes:
    data = os.read(fd, size + 1)
    while len(data) <= limit and (more := os.read(fd, 1 << 16)):
        data += more
    return data


def read_text(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> str | None:
    """As :func:`read_state`, for text in UTF-8."""
    data = read_state(path, limit=limit, private=private)
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StateError(path, "is not text in UTF-8") from None


def load_state(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> dict[str, Json] | None:
    """The JSON object in a file of ours; None: there is no file.

    :raises StateError, UnsafeError: as :func:`read_state`; also: it is no JSON object.
    """
    data = read_state(path, limit=limit, private=private)
    if data is None:
        return None
    try:
        value = parse(data)
    except ValueError as e:
        raise StateError(path, f"is damaged: {e}" if data.strip(b"\0 \n") else "is damaged: it is empty") from None
    if not isinstance(value, dict):
        raise StateError(path, "is damaged: it holds no JSON object")
    return value


def recall(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> dict[str, Json] | None:
    """:func:`load_state` of what is only remembered and can be made anew: None also when it is damaged."""
    try:
        return load_state(path, limit=limit, private=private)
    except (StateError, UnsafeError):
        return None

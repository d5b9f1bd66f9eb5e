"""The one way to read our own files: receipts, records, keys, caches.

A name proves nothing. If a link, a pipe, a folder or another user's file has it, or if the file is too large, not JSON,
or nested too deeply, the answer is a :class:`StateError`. For a missing file it is None.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import stat
import sys
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError, parent, trusted
from ovtasks.values.jsonvalue import Json, parse

MAX_BYTES = 16 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a symbolic link"}


class StateError(OvError):
    """A file of ours exists and cannot be used. ``reason`` is the message without the file's name."""

    def __init__(self, path: Path, reason: str, *, hint: str | None = None) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(f"{path} {reason}", hint=hint or f"move it away: mv {quoted} {quoted}.old")
        self.path = path
        self.reason = reason


def read_state(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> bytes | None:
    """The content of a file of ours; None if it is missing.

    ``limit`` is in bytes. ``private``: the file must be ours, have no other name and be closed to others (0600),
    because its content is secret or is trusted, like that of marshal or pickle.

    :raises StateError: it is not such a file. :raises UnsafeError: a link leads to its folder.
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
        raise StateError(path, _reason(e)) from None
    if len(data) > limit:
        raise StateError(path, _too_large(limit))
    return data


def _reason(error: OSError) -> str:
    kinds = {errno.ELOOP: "is a symbolic link", errno.ENXIO: "is not a file"}
    return kinds.get(error.errno or 0) or f"cannot be read: {os.strerror(error.errno or 0).lower()}"


def _problem(found: os.stat_result, folder: int, limit: int, private: bool) -> str:
    """Why this is not a file of ours; empty if it is one."""
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
    data = os.read(fd, min(size, limit) + 1)
    while len(data) <= limit and (more := os.read(fd, 1 << 16)):
        data += more
    return data


def open_log(path: Path) -> io.BufferedReader:
    """Open a file of ours for reading, while another program may still write it.

    :raises FileNotFoundError: it does not exist (yet). :raises StateError: it is not a file of ours.
    """
    try:
        with parent(path) as (folder, name):
            fd = os.open(name, _FLAGS, dir_fd=folder)
            if problem := _problem(os.fstat(fd), folder, sys.maxsize, private=False):
                os.close(fd)
                raise StateError(path, problem)
            return os.fdopen(fd, "rb")
    except NotADirectoryError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except FileNotFoundError:
        raise
    except OSError as e:
        raise StateError(path, _reason(e)) from None


def read_input(path: Path, limit: int) -> bytes:
    """The first ``limit`` + 1 bytes of a user's file. Links are followed; a pipe does not make us wait.

    :raises OSError: it cannot be read, or is not a regular file; ``strerror`` says which.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return _read(fd, found.st_size, limit)[: limit + 1]
    finally:
        os.close(fd)


def read_text(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> str | None:
    """Like :func:`read_state`, for text in UTF-8."""
    data = read_state(path, limit=limit, private=private)
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StateError(path, "is not text in UTF-8") from None


def load_state(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> dict[str, Json] | None:
    """The JSON object in a file of ours; None if there is no file.

    :raises StateError, UnsafeError: as :func:`read_state`; StateError also if it is not a JSON object.
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


def try_load_state(path: Path, *, limit: int = MAX_BYTES, private: bool = False) -> dict[str, Json] | None:
    """Like :func:`load_state`, for what can be made anew: a damaged file counts as missing."""
    try:
        return load_state(path, limit=limit, private=private)
    except (StateError, UnsafeError):
        return None

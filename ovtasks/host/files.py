"""Writing files that matter, and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ovtasks.errors import OvError


def fsync_directory(directory: Path) -> None:
    """Make renames in ``directory`` survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write ``path`` as a whole or not at all: temporary file in the same directory, fsync, rename.

    The temporary name is always the same, so that what a killed process left is taken over by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    fd = _open_locked(part, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.truncate(0)
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def _open_locked(part: Path, mode: int) -> int:
    """Open ``part`` for writing, alone: a file that was renamed while we waited for its lock is not it any more."""
    while True:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if part.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def link_or_copy(source: Path, target: Path) -> None:
    """``target`` becomes a hard link of ``source``; across file systems a reflink or a sparse copy.

    ``target`` must not exist. Link counts are how the store knows that an image is in use.
    """
    try:
        target.hardlink_to(source)
        return
    except OSError as e:
        if e.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            raise
    part = target.with_name(f".{target.name}.part")
    try:
        _copy_sparse(source, part)
        shutil.copymode(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy data extents only: holes stay holes. Blocks are shared where the file system can (reflink)."""
    with source.open("rb") as src, target.open("wb") as dst:
        size = os.fstat(src.fileno()).st_size
        os.ftruncate(dst.fileno(), size)
        for start, end in _extents(src.fileno(), size):
            while start < end:
                copied = _copy_range(src.fileno(), dst.fileno(), start, end - start)
                if copied == 0:
                    raise OvError(f"{source} became shorter while it was copied")
                start += copied
        os.fsync(dst.fileno())


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that hold data, as (start, end) in bytes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, offset: int, count: int) -> int:
    """Copy up to ``count`` bytes at ``offset``; returns how many."""
    try:
        return os.copy_file_range(source, target, count, offset, offset)
    except OSError as e:
        if e.errno not in {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
    return os.pwrite(target, os.pread(source, min(count, 1 << 20), offset), offset)


@contextlib.contextmanager
def flock(path: Path, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, across processes; ``waiting`` hears who holds it when we must wait.

    The file itself stays: it names the last holder and is never stale, because the kernel drops the lock with its
    holder, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
                waiting(f"process {holder}" if holder else "another process")
            fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)

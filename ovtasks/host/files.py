"""Writes files that matter, and takes locks. Follows no link, and writes into no file that is not ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError, parent, trusted
from ovtasks.host.patience import shown, waiting_for

_QUIET = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Follow no link; do not wait for the other end of a pipe."""


def part_name(name: str) -> str:
    """The name of a file that is being made, in the folder where it gets ``name`` in the end."""
    return f".{name}.part"


def is_part(name: str) -> bool:
    """Whether a file of this name was being made when whoever made it was killed."""
    return name.startswith(".") and name.endswith(".part")


def fsync_directory(directory: Path) -> None:
    """Make renames in ``directory`` survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write ``path`` as a whole or not at all: temporary file in the same directory, fsync, rename.

    The temporary name is always the same, so the next process takes over what a killed one left. A link, a pipe or an
    empty folder under either name is removed; what the link leads to stays untouched.

    :raises UnsafeError: a link leads to the folder, or a folder that is not empty stands in the file's place.
    """
    with parent(path, make=True) as (folder, name):
        part = part_name(name)
        fd = _open_alone(folder, part, mode)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.truncate(0)
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
                move(path.with_name(part), path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            raise
        os.fsync(folder)


def write_changed(path: Path, data: bytes | str, *, mode: int = 0o644) -> bool:
    """Like :func:`write_atomic`, but only if content or mode differ. Returns whether it wrote."""
    content = data.encode() if isinstance(data, str) else data
    if has_content(path, content, mode):
        return False
    write_atomic(path, content, mode=mode)
    return True


def move(source: Path, target: Path) -> None:
    """Rename within a file system. A link, a pipe or an empty folder under the new name is removed.

    :raises UnsafeError, OSError: as :func:`write_atomic`.
    """
    with parent(source) as (old, name), parent(target) as (new, last):
        try:
            os.replace(name, last, src_dir_fd=old, dst_dir_fd=new)
        except IsADirectoryError:
            _remove_folder(new, last, target)
            os.replace(name, last, src_dir_fd=old, dst_dir_fd=new)


def has_content(path: Path, content: bytes, mode: int | None = None) -> bool:
    """Whether ``path`` is a file of ours with this content (and mode)."""
    try:
        with parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | _QUIET, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_size != len(content):
                    return False
                return mode in {None, stat.S_IMODE(found.st_mode)} and file.read(len(content) + 1) == content
    except (OSError, UnsafeError):
        return False


def create(path: Path, *, mode: int = 0o600, append: bool = False) -> IO[bytes]:
    """Make a new file and open it for reading and writing. What had this name before is removed unread.

    With ``append`` a file of ours stays, and writing continues at its end.

    :raises UnsafeError: as :func:`write_atomic`. :raises OSError: it cannot be made.
    """
    with parent(path, make=True) as (folder, name):
        if append:
            return os.fdopen(_own(folder, name, os.O_RDWR | os.O_APPEND, mode), "ab+")
        while True:
            _discard(folder, name, all_of_it=True)
            with contextlib.suppress(FileExistsError):
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _QUIET, mode, dir_fd=folder)
                return os.fdopen(fd, "wb+")


def create_text(path: Path) -> IO[str]:
    """:func:`create` for text in UTF-8: a log."""
    return io.TextIOWrapper(create(path), encoding="utf-8", errors="replace")


def _remove_folder(folder: int, name: str, path: Path | str) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as e:
        if e.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
            raise
        quoted = shlex.quote(str(path))
        raise UnsafeError(
            f"{path} is a folder where a file of ours must be", hint=f"move it away: mv {quoted} {quoted}.old"
        ) from None


def _open_alone(folder: int, part: str, mode: int) -> int:
    """Open ``part`` for writing and lock it. If it was renamed while we waited for the lock, start again."""
    while True:
        fd = _own(folder, part, os.O_WRONLY, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.lstat(part, dir_fd=folder).st_ino == os.fstat(fd).st_ino:
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _own(folder: int, name: str, flags: int, mode: int) -> int:
    """Open or make a file that is ours and has no other name.

    Anything else under that name is removed, not followed.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            return os.open(name, flags | os.O_CREAT | os.O_EXCL | _QUIET, mode, dir_fd=folder)
        try:
            if _is_own(folder, name):
                fd = os.open(name, flags | _QUIET, dir_fd=folder)
                found = os.fstat(fd)
                if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:  # 0: renamed away just now
                    os.set_blocking(fd, True)
                    return fd
                os.close(fd)
        except FileNotFoundError:
            continue
        except PermissionError:
            if os.lstat(name, dir_fd=folder).st_uid != os.geteuid():  # of root, left by a run with sudo
                raise
            _discard(folder, name, all_of_it=True)
            continue
        except OSError as e:
            if e.errno not in {errno.ELOOP, errno.ENXIO}:
                raise
        _discard(folder, name)


def _is_own(folder: int, name: str) -> bool:
    found = os.lstat(name, dir_fd=folder)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and trusted(found, folder)


def _discard(folder: int, name: str, *, all_of_it: bool = False) -> None:
    """Remove ``name``, unless it is our own file; with ``all_of_it`` also then.

    One process at a time, so that none removes what another one has just made.
    """
    with contextlib.suppress(OSError):  # some network file systems have no such lock
        fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        if all_of_it or not _is_own(folder, name):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                _remove_folder(folder, name, os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name))
            else:
                os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_UN)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``; across file systems a reflink or a sparse copy.

    ``target`` must not exist. By the link count the store knows that an image is in use.

    :raises UnsafeError: ``source`` is not a regular file, or a link leads to one of the folders.
    """
    with parent(source) as (of, name), parent(target) as (to, new):
        fd = _open_regular(of, name, source)
        with os.fdopen(fd, "rb") as file:
            try:
                os.link(name, new, src_dir_fd=of, dst_dir_fd=to, follow_symlinks=False)
            except OSError as e:
                if e.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
                    raise
            else:
                return
            part = part_name(new)
            try:
                _discard(to, part, all_of_it=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _QUIET
                with os.fdopen(os.open(part, flags, 0o600, dir_fd=to), "wb") as copy:
                    _copy_sparse(file.fileno(), copy.fileno(), source)
                    os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(fd).st_mode))
                os.replace(part, new, src_dir_fd=to, dst_dir_fd=to)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=to)


def _open_regular(folder: int, name: str, path: Path) -> int:
    try:
        fd = os.open(name, os.O_RDONLY | _QUIET, dir_fd=folder)
    except OSError as e:
        if e.errno in {errno.ELOOP, errno.ENXIO}:
            raise UnsafeError(
                f"{path} is not a file of its own", hint=f"`ls -l {shlex.quote(str(path))}` says more"
            ) from e
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise UnsafeError(f"{path} is not a file of its own", hint=f"`ls -l {shlex.quote(str(path))}` says more")


def _copy_sparse(source: int, target: int, path: Path) -> None:
    os.ftruncate(target, os.fstat(source).st_size)
    copy_extents(source, target, path)
    os.fsync(target)


def copy_extents(source: int, target: int, path: Path, *, at: int = 0) -> None:
    """Copy what ``source`` (open for reading; ``path`` is its name) has of data to offset ``at`` of ``target``: holes
    are left out. Blocks are shared where the file system can (reflink).

    :raises OvError: the source became shorter meanwhile.
    """
    for start, end in extents(source, os.fstat(source).st_size):
        while start < end:
            copied = _copy_range(source, target, start, end - start, start + at)
            if copied == 0:
                raise OvError(f"{path} became shorter while it was copied")
            start += copied


def extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that hold data, as (start, end) in bytes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, offset: int, count: int, to: int) -> int:
    """Copy up to ``count`` bytes at ``offset`` to the offset ``to``; returns how many."""
    try:
        return os.copy_file_range(source, target, count, offset, to)
    except OSError as e:
        if e.errno not in {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
    return os.pwrite(target, os.pread(source, min(count, 1 << 20), offset), to)


@contextlib.contextmanager
def flock(path: Path, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, across processes. If we must wait, ``waiting`` is told who holds it.

    The file stays behind and names the last holder. It is never stale: the kernel drops the lock when its holder ends,
    however that happens. Anything under this name that is not our own file is replaced, never locked or written to.

    :raises UnsafeError: as :func:`write_atomic`. :raises OSError: it cannot be made.
    """
    fd = open_own(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 200, 0).decode(errors="replace").strip()
            holder = f"process {pid}" if pid else "another process"
            if waiting is not None:
                waiting(holder)
            with shown() if waiting is not None else waiting_for(holder):
                fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # a full disk must not stop anybody from removing something
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def open_own(path: Path) -> int:
    """Open a lock file or a half-made file for reading and writing; make it (0600) if it is missing.

    :raises UnsafeError, OSError: as :func:`flock`.
    """
    with parent(path, make=True) as (folder, name):
        return _own(folder, name, os.O_RDWR, 0o600)


def is_own(path: Path) -> bool:
    """Whether ``path`` is a file of ours that has no other name."""
    try:
        with parent(path) as (folder, name):
            return _is_own(folder, name)
    except (OSError, UnsafeError):
        return False


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def discard(path: Path) -> None:
    """Remove a file of ours, or a link, a pipe or an empty folder in its place. It may be missing.

    :raises UnsafeError, OSError: as :func:`write_atomic`.
    """
    with contextlib.suppress(FileNotFoundError), parent(path) as (folder, name):
        _discard(folder, name, all_of_it=True)


def is_locked(path: Path) -> bool:
    """Whether some process holds this lock file. Nobody holds what is not a file."""
    try:
        with parent(path) as (folder, name):
            fd = os.open(name, os.O_RDONLY | _QUIET, dir_fd=folder)
    except (OSError, UnsafeError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

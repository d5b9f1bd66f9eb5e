"""A folder whose files somebody else may use, and nothing outside of it.

For a guest that is not trusted. A path is walked name by name from the opened folder with ``openat``; a symbolic link
is followed neither on the way nor at the end, and ``..`` is refused. So no path, no link and no race leads out. Links
can be made and read: whoever asks follows them on their own side. Only regular files are opened, since a device or a
pipe of the host would reach beyond the folder. Set-user-ID and set-group-ID bits of files are dropped.

Paths and names are bytes, as the kernel has them. All methods raise OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_QUIET = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PERMISSIONS = 0o1777
HERE = b"."
"""The folder itself."""


def names(path: bytes) -> list[bytes]:
    """The names on the way from the folder; ``/`` at the beginning means the folder, too.

    :raises PermissionError: one of them is ``..``.
    """
    found = [name for name in path.split(b"/") if name not in {b"", HERE}]
    if b".." in found:
        raise PermissionError(errno.EACCES, "'..' leads out")
    return found


class Confined:
    """``folder``, opened once: it may be renamed. ``read_only``: nothing in it can be changed from here."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._read_only = read_only

    def close(self) -> None:
        """Close the folder; files that are open stay open."""
        os.close(self._root)

    def look(self, path: bytes) -> os.stat_result:
        """What lies there; a link itself."""
        with self._parent(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def read_link(self, path: bytes) -> bytes:
        """Where a link says it leads."""
        with self._parent(path) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    def room(self) -> os.statvfs_result:
        """How much room its file system has."""
        return os.fstatvfs(self._root)

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> int:
        """Open a regular file, with ``flags`` and ``mode`` of open(2)."""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            self._may_change()
        with self._parent(path) as (folder, name):
            if flags & os.O_CREAT:
                try:
                    # a name that is there, a link too, is never opened so
                    return os.open(name, flags | os.O_EXCL | _QUIET, mode & 0o777, dir_fd=folder)
                except FileExistsError:
                    if flags & os.O_EXCL:
                        raise
            with _pinned(folder, name) as (pin, found):
                _need_file(found)
                return os.open(f"/proc/self/fd/{pin}", flags & ~(os.O_CREAT | os.O_EXCL) | os.O_NOCTTY | os.O_CLOEXEC)

    def open_folder(self, path: bytes) -> int:
        """Open a folder, to be listed."""
        with self._parent(path) as (folder, name):
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | _QUIET, dir_fd=folder)

    def make_folder(self, path: bytes, mode: int) -> None:
        """mkdir(2)."""
        with self._changing(path) as (folder, name):
            os.mkdir(name, mode & _PERMISSIONS, dir_fd=folder)

    def remove(self, path: bytes) -> None:
        """unlink(2)."""
        with self._changing(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def remove_folder(self, path: bytes) -> None:
        """rmdir(2)."""
        with self._changing(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def link(self, old: bytes, new: bytes) -> None:
        """Give a file a second name."""
        with self._changing(old) as (folder, name), self._changing(new) as (other, last):
            os.link(name, last, src_dir_fd=folder, dst_dir_fd=other, follow_symlinks=False)

    def symlink(self, target: bytes, path: bytes) -> None:
        """Make a link. ``target`` is not looked at: here nobody follows it."""
        with self._changing(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        """rename(2); without ``replace`` what has the new name stays."""
        with self._changing(old) as (folder, name), self._changing(new) as (other, last):
            if not replace:
                with contextlib.suppress(FileNotFoundError):
                    os.stat(last, dir_fd=other, follow_symlinks=False)
                    raise FileExistsError(errno.EEXIST, "it is there already")
            os.rename(name, last, src_dir_fd=folder, dst_dir_fd=other)

    def truncate(self, path: bytes, size: int) -> None:
        """truncate(2)."""
        fd = self.open(path, os.O_WRONLY)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    def set_mode(self, path: bytes, mode: int) -> None:
        """chmod(2) of what is no link."""
        self._may_change()
        with self._parent(path) as (folder, name), _pinned(folder, name) as (pin, found):
            if stat.S_ISLNK(found.st_mode):
                raise OSError(errno.EOPNOTSUPP, "a link has no mode")
            Path(f"/proc/self/fd/{pin}").chmod(allowed(mode, found))

    def set_times(self, path: bytes, accessed: int, changed: int) -> None:
        """Set both times, in seconds."""
        self._may_change()
        with self._parent(path) as (folder, name):
            os.utime(name, (accessed, changed), dir_fd=folder, follow_symlinks=False)

    def _may_change(self) -> None:
        if self._read_only:
            raise PermissionError(errno.EACCES, "this folder is shared for reading")

    @contextlib.contextmanager
    def _changing(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        self._may_change()
        with self._parent(path) as (folder, name):
            if name == HERE:
                raise PermissionError(errno.EACCES, "the shared folder itself stays")
            yield folder, name

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The opened folder of ``path``, and the name in it."""
        way = names(path) or [HERE]
        folder = os.dup(self._root)
        try:
            for name in way[:-1]:
                below = os.open(name, _PIN | os.O_DIRECTORY, dir_fd=folder)  # a link is not a folder
                os.close(folder)
                folder = below
            yield folder, way[-1]
        finally:
            os.close(folder)


def allowed(mode: int, found: os.stat_result) -> int:
    """The permissions that may be set. Set-ID bits are the host's: a folder keeps its own, a file loses them."""
    return mode & _PERMISSIONS | (found.st_mode & 0o6000 if stat.S_ISDIR(found.st_mode) else 0)


@contextlib.contextmanager
def _pinned(folder: int, name: bytes) -> Iterator[tuple[int, os.stat_result]]:
    """What has the name now, held, so that it stays the same whatever happens to the name; and what it is."""
    pin = os.open(name, _PIN, dir_fd=folder)
    try:
        yield pin, os.fstat(pin)
    finally:
        os.close(pin)


def _need_file(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(errno.EACCES, "it is no regular file")

"""Opens files in our folders without following a symbolic link.

A cloned repository, a restored archive or another user can put a link where we are going to write. So we open a file of
ours from the guarded folder above it (``output/``, ``$XDG_DATA_HOME/ov``, the image store …), name by name with
``openat``, and no name on the way may be a link. Links above such a folder are the user's business. A link between a
project's root and its ``output/`` is followed only if the folder that it leads to holds a file ``.ov-output``: whoever
put it there can write there anyway.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ovtasks.errors import RefusedError
from ovtasks.host.paths import cache_home, config_home, data_home

CONSENT = ".ov-output"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_projects: set[str] = set()
_ours: set[str] = set()


class UnsafeError(RefusedError):
    """Something that is not ours (a link, another user's file) stands where a file or folder of ours must be."""


def guard(folder: Path, *, project: Path | None = None) -> None:
    """Follow no link below ``folder`` from now on; between ``project`` and it only with consent (see above)."""
    _ours.add(os.path.abspath(folder))
    if project is not None:
        _projects.add(os.path.abspath(project))


def check(folder: Path) -> None:
    """Check that no link which must not be followed is on the way to ``folder``. The folder need not exist.

    :raises UnsafeError: there is one.
    """
    with contextlib.suppress(OSError):
        os.close(_open(os.path.abspath(folder), None))


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """``mkdir -p`` that follows no link. New folders get ``mode``, less the umask.

    :raises UnsafeError: a link is in the way. :raises OSError: it cannot be made.
    """
    os.close(_open(os.path.abspath(folder), mode))


def guarded_folder(folder: Path) -> str:
    """The guarded folder that ``folder`` lies in; ``folder`` itself if there is none."""
    return _anchor(os.path.abspath(folder))[1]


@contextlib.contextmanager
def parent(path: Path, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of ``path``; yields it, for the ``dir_fd`` of :mod:`os`, and the name in it.

    With ``make`` the folder is created first. An ``OSError`` raised in the block gets the whole path as its
    ``filename``.

    :raises UnsafeError: a link is in the way. :raises OSError: there is no such folder.
    """
    folder, name = os.path.split(os.path.abspath(path))
    fd = _open(folder, 0o777 if make else None)
    try:
        yield fd, name
    except OSError as e:
        if not isinstance(e.filename, str):
            e.filename = f"{folder}/{name}"
        elif not e.filename.startswith("/"):
            e.filename = f"{folder}/{e.filename}"
        raise
    finally:
        os.close(fd)


def trusted(found: os.stat_result, folder: int) -> bool:
    """Whether a file found in the opened ``folder`` belongs to us, to root, or to someone who could
    replace it anyway.
    """
    return found.st_uid in {os.geteuid(), 0} or found.st_uid == os.fstat(folder).st_uid


def _open(folder: str, mode: int | None) -> int:
    """Open ``folder``, name by name below a guarded folder. With ``mode`` missing folders are created."""
    base, ours = _anchor(folder)
    if mode is not None and not os.path.isdir(base):
        os.makedirs(base, mode, exist_ok=True)
    fd = os.open(base, _FOLDER)
    at = base.rstrip("/")
    for name in filter(None, folder[len(base) :].split("/")):
        at = f"{at}/{name}"
        try:
            below = _enter(fd, name, at, mode, linked=len(at) <= len(ours))
        except OSError as e:
            e.filename = at
            raise
        finally:
            os.close(fd)
        fd = below
    return fd


def _anchor(folder: str) -> tuple[str, str]:
    """Two folders above ``folder``: below the first a link needs consent, below the second none is followed."""
    variables = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    ours = _outermost(folder, (*_ours, *_homes(*map(os.environ.get, variables))))
    project = _outermost(ours or folder, _projects)
    return project or ours or folder, ours or folder


@cache
def _homes(*_: str | None) -> tuple[str, ...]:
    """Our folders by the XDG base directory specification. The arguments are the cache's key: the variables' values."""
    return (str(data_home()), str(cache_home()), str(config_home()))


def _outermost(folder: str, among: Iterable[str]) -> str:
    found = [one for one in among if folder == one or folder.startswith(one.rstrip("/") + "/")]
    return min(found, key=len, default="")


def _enter(fd: int, name: str, path: str, mode: int | None, *, linked: bool) -> int:
    """Open the folder ``name`` in ``fd``. ``linked``: it may be a link, if that has consent."""
    try:
        below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
    except FileNotFoundError:
        if mode is None:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=fd)
        return _enter(fd, name, path, None, linked=linked)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
                return _follow(fd, name, path, linked=linked)
        raise
    if not trusted(os.fstat(below), fd):
        os.close(below)
        raise UnsafeError(f"{path} belongs to another user", hint=f"who made it? `ls -ld {shlex.quote(path)}` says")
    return below


def _follow(fd: int, name: str, path: str, *, linked: bool) -> int:
    """Open the folder that a link leads to, if the link has consent."""
    if not linked:
        raise UnsafeError(
            f"{path} is a symbolic link where a folder of ours must be", hint=f"remove it: rm {shlex.quote(path)}"
        )
    target = os.path.realpath(path)
    agree = f"touch {shlex.quote(f'{target}/{CONSENT}')}"
    try:
        below = os.open(target, _FOLDER)
    except OSError:
        raise UnsafeError(
            f"{path} is a symbolic link to {target}, which is not a folder",
            hint=f"to keep it there: mkdir -p {shlex.quote(target)} && {agree}",
        ) from None
    with contextlib.suppress(OSError):
        found = os.lstat(CONSENT, dir_fd=below)
        if stat.S_ISREG(found.st_mode) and found.st_uid in {os.geteuid(), 0}:
            return below
    os.close(below)
    raise UnsafeError(
        f"{path} is a symbolic link to {target}; a cloned repository can bring such a link along",
        hint=f"to keep it there: {agree}",
    )

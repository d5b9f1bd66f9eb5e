"""Turns errors of the operating system into errors that say where, why, and what to do next.

"No space left" does not name a folder, and we or a program that we ran may have written to several. So we ask the file
systems which of them is full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.command_error import CommandError
from ovtasks.host.paths import cache_home, data_home

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
LITTLE = 16 << 20
"""Bytes: a file system with less free space counts as full."""

_SAID = {
    errno.ENOSPC: re.compile(r"no space left on device", re.IGNORECASE),
    errno.EDQUOT: re.compile(r"disk quota exceeded", re.IGNORECASE),
    errno.EFBIG: re.compile(r"file too large|image size is too large for file format", re.IGNORECASE),
}
_REASONS = {
    errno.EROFS: "the file system is read-only",
    errno.EPERM: "not permitted",
    errno.ENOTDIR: "a file is where a directory should be",
    errno.EEXIST: "a file is where a directory should be",
    errno.EISDIR: "a directory is where a file should be",
    errno.EIO: "the disk reports an error",
    errno.EMFILE: "too many files are open (ulimit -n)",
    errno.ELOOP: "a symbolic link is where a file should be",
}
_HINTS = {
    errno.EROFS: "mount {folder} writable, or use another place{moves}",
    errno.EIO: "dmesg says what is wrong with the disk",
    errno.ENOTDIR: "move it away",
    errno.EEXIST: "move it away",
    errno.EISDIR: "move it away",
    errno.ELOOP: "remove the link, or put the file itself there",
    errno.ENFILE: "the whole machine has too many files open: end some programs",
    errno.ENOMEM: "end some programs, or give the VMs less memory",
    errno.ESTALE: "mount the network file system again",
    errno.EMFILE: "ulimit -n 4096, then the same command again",
    errno.ENAMETOOLONG: "a shorter path{moves}",
}


class NoRoomError(OvError):
    """What was written does not fit: the file system is full, or a quota or limit is reached."""


@dataclass(frozen=True)
class _Room:
    """What a file system has left for an ordinary user: bytes, and files (None if it does not count them)."""

    folder: Path
    free: int
    files: int | None


def explained(error: OSError | UnicodeError | RecursionError, what: str, *folders: Path) -> OvError:
    """``error`` in words for people.

    ``what`` says what failed ("cannot make the disk"), empty if unknown. ``folders`` are those that were written to,
    the likeliest first; they need not exist.
    """
    if isinstance(error, OSError):
        return _system(error, what, folders)
    if isinstance(error, RecursionError):
        return OvError(_after(what, "what was read is nested too deeply"), hint="is the file damaged?")
    return OvError(_after(what, _text(error)), hint="use a UTF-8 locale: export LC_ALL=C.UTF-8")


def _system(error: OSError, what: str, folders: Sequence[Path]) -> OvError:
    number = error.errno or 0
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if number in NO_ROOM:
        return _no_room(number, what, [*folders, *(path.parent for path in named)])
    if number == errno.ENOENT and not _has_current_folder():
        return OvError(_after(what, "the current folder does not exist any more"), hint="cd to one that exists")
    place = named[0] if named else folders[0] if folders else None
    reason = _REASONS.get(number) or (os.strerror(number).lower() if number else str(error) or type(error).__name__)
    folder = place.parent if named and place is not None else place
    hint = _HINTS.get(number, "").format(folder=folder, moves=_moves(folder)) or None
    if number in {errno.EACCES, errno.EPERM} and place is not None:
        hint = _owner(place)
    return OvError(_after(what, reason) + (f": {place}" if place is not None else ""), hint=hint)


def _after(what: str, reason: str) -> str:
    return f"{what}: {reason}" if what else reason


def _text(error: UnicodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!a} cannot be written in this locale ({error.encoding})"
    if isinstance(error, UnicodeDecodeError):
        return f"what was read is not {error.encoding}: {error.reason}"
    return str(error)


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _owner(path: Path) -> str:
    """Who owns the nearest existing thing on the way to ``path``: a run with sudo leaves files of root behind."""
    for place in (path, *path.absolute().parents):
        try:
            status = place.lstat()
        except OSError:
            continue
        if status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWUSR:
            return f"{place} is yours and read-only: chmod u+w {place}"
        if status.st_uid == os.geteuid():
            return f"{place} is yours, with mode {stat.S_IMODE(status.st_mode):04o}: ls -ld {place}"
        from ovtasks.host.users import user_name

        return f"{place} belongs to {user_name(status.st_uid)}: as that user, or chown -R {user_name()} {place}"
    return f"ls -ld {path}"


@contextlib.contextmanager
def explaining(what: str, *folders: Path) -> Iterator[None]:
    """Turn errors of the system or of a locale, and a program's complaint about a full disk, into an error for people.

    :raises OvError: see :func:`explained`.
    """
    try:
        yield
    except BrokenPipeError:  # nobody reads our output; no file is to blame
        raise
    except (OSError, UnicodeError, RecursionError) as e:
        raise explained(e, what, *folders) from e
    except CommandError as e:
        if (error := no_room_said(e)) is None:
            raise
        raise explained(error, what, *folders) from e


def no_room_said(error: CommandError) -> OSError | None:
    """The error behind a program's complaint about a full disk; None if it failed for another reason."""
    if error.returncode == -signal.SIGXFSZ:
        return OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    for number, pattern in _SAID.items():
        if pattern.search(error.stderr):
            return OSError(number, os.strerror(number))
    return None


def _no_room(number: int, what: str, folders: list[Path]) -> NoRoomError:
    if number == errno.EFBIG:
        return _too_large(what, folders)
    if number == errno.EDQUOT:
        place = f": {folders[0]}" if folders else ""
        hint = "quota -s shows it; ov gc and `doit clean` free what nobody uses"
        return NoRoomError(_after(what, f"your disk quota is used up{place}"), hint=hint + _also(folders[:1]))
    rooms = [room for folder in dict.fromkeys(folders) if (room := _room(folder)) is not None]
    for room in rooms:
        if room.files == 0:
            hint = f"df -i {room.folder} shows it: remove files there, or use another file system{_moves(room.folder)}"
            message = _after(what, f"the file system of {room.folder} has no room for another file (no inodes)")
            return NoRoomError(message, hint=hint)
    if not rooms:
        return NoRoomError(_after(what, "the disk is full"), hint="df -h shows which")
    # by now the failed file has been removed, so there may be a little free space again
    first = rooms[0] if rooms[0].free < LITTLE else min(rooms, key=lambda room: room.free)
    folder = first.folder
    hint = f"df -h {folder} shows it; ov gc and `doit clean` free what nobody uses{_also([folder])}"
    return NoRoomError(_after(what, f"the disk is full ({folder})"), hint=hint)


def _too_large(what: str, folders: list[Path]) -> NoRoomError:
    import resource

    place = f" ({folders[0]})" if folders else ""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY:
        message = _after(what, f"the file would become larger than is allowed: {limit} bytes{place}")
        return NoRoomError(message, hint="ulimit -f unlimited, then the same command again")
    message = _after(what, f"the file system takes no file so large{place}")
    return NoRoomError(message, hint=f"a file system such as ext4 or xfs{_also(folders[:1])}")


def _room(folder: Path) -> _Room | None:
    """What is left for the folder, or for the nearest one above it that exists."""
    for place in (folder, *folder.absolute().parents):
        with contextlib.suppress(OSError):
            found = os.statvfs(place)
            return _Room(folder, found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
    return None


def _also(folders: list[Path]) -> str:
    return _moves(folders[0]) if folders else ""


def _moves(folder: Path | None) -> str:
    """A hint how to put such files elsewhere, if there is a variable for that."""
    if folder is None:
        return ""
    places = {cache_home(): "XDG_CACHE_HOME or source.cache moves the image store"}
    places[data_home()] = "XDG_DATA_HOME moves the VMs"
    for above, words in places.items():
        if folder.absolute() == above or above in folder.absolute().parents:
            return f"; {words}"
    return ""

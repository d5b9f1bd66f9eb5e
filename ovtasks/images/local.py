"""Images from this machine. They are copied, because a user's file may change at any time."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.files import extents, write_atomic
from ovtasks.host.progress import Progress
from ovtasks.images.download import Facts
from ovtasks.images.intake import Intake

_STRIDE = 128 << 20  # bytes


def open_file(path: Path) -> io.FileIO:
    """Open a user's file for reading.

    :raises InputError: it is missing, not readable or not a file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make us wait
    except OSError as e:
        raise InputError(f"cannot read the image {path}: {e.strerror}", hint="check source.url") from e
    found = os.fstat(fd).st_mode
    if not stat.S_ISREG(found):
        os.close(fd)
        kind = "a directory, not an image" if stat.S_ISDIR(found) else "not a regular file"
        raise InputError(f"{path} is {kind}", hint="source.url names one image file")
    return io.FileIO(fd)


def copy(
    url: str, path: Path, intake: Intake, state: Path, progress: Progress, *, unless: str | None = None
) -> Facts | None:
    """Feed the file to ``intake``; returns None if its stat still is ``unless`` (an ``etag`` that this function made).

    ``state`` is written first and marks the copy as partial.

    :raises InputError: it is missing, not readable or not a file. :raises OvError: it changed while it was read.
    """
    with open_file(path) as file:
        before = os.fstat(file.fileno())
        if unless is not None and unless == _etag(before):
            return None
        write_atomic(state, "{}\n")
        intake.restart()
        for start, end in extents(file.fileno(), before.st_size):
            _skip(intake, start, progress, before.st_size)
            file.seek(start)
            while intake.offset < end and (count := file.readinto((buffer := intake.buffer())[: end - intake.offset])):
                intake.feed(buffer[:count])
                progress.update(intake.offset, before.st_size)
            if intake.offset < end:
                break
        else:
            _skip(intake, before.st_size, progress, before.st_size)
        if _etag(os.fstat(file.fileno())) != _etag(before) or intake.offset != before.st_size:
            raise OvError(f"{path} changed while it was copied", hint="wait until it is complete, then run again")
    return Facts(url=url, final_url=path.absolute().as_uri(), etag=_etag(before), total=before.st_size)


def _skip(intake: Intake, end: int, progress: Progress, total: int) -> None:
    """Take a hole up to ``end``: its zeros are hashed, and not read."""
    while intake.offset < end:
        intake.feed_hole(min(_STRIDE, end - intake.offset))
        progress.update(intake.offset, total)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

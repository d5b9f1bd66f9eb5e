"""Shows the log of a VM's serial console, made harmless for a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ovtasks.host.state import open_log

_CHUNK = 64 << 10
_POLL = 0.1
# ECMA-48 and xterm: sequences that make a terminal answer, as if somebody had typed the answer. (CPR and other device
# status, device attributes, terminal parameters, window reports, queries of modes, settings, colours and the like.)
_QUERIES = re.compile(
    rb"\x05|\x1bZ|\x1b\[[?>=]?[\d;]*[nc]|\x1b\[[01]?x|\x1b\[(?:1[1-9]|2[01])(?:;\d*)*t|\x1b\[\??[\d;]*\$p|\x1b\[>\d*q"
    rb"|\x1bP[$+]q[^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*\?(?:\x07|\x1b\\)"
)


# systemd may cut a long line within a colour sequence: ESC, an ellipsis, then any letter. Terminals take that letter
# for the command; after a P they swallow all that follows.
BROKEN = re.compile(rb"\x1b(?=[\x80-\xff])")


def inert(data: bytes) -> bytes:
    """``data`` without queries to the terminal, whose answers would be typed into the guest or the shell."""
    return _QUERIES.sub(b"", BROKEN.sub(b"", data))


def tail(log: Path, lines: int) -> bytes:
    """The last ``lines`` lines of the log; empty if there is no log."""
    try:
        file = open_log(log)
    except FileNotFoundError:
        return b""
    with file:
        file.seek(_last(file, lines))
        return file.read()


def _last(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` lines begin, in bytes."""
    position = file.seek(0, os.SEEK_END)
    data = b""
    while position > 0 and data[:-1].count(b"\n") < lines:  # no line begins after the last line end
        step = min(_CHUNK, position)
        position -= step
        file.seek(position)
        data = file.read(step) + data
    if lines < 1:
        return position + len(data)
    begin = max(0, len(data) - 1)
    for _ in range(lines):
        begin = data.rfind(b"\n", 0, begin)
        if begin < 0:
            return position
    return position + begin + 1


def follow(log: Path, out: BinaryIO, *, lines: int | None = 10, until: Callable[[], bool] | None = None) -> None:
    """Write the last ``lines`` lines (None: all), then new output as it comes.

    It ends after Ctrl-C, or when ``until`` is true (asked about once a second) and everything is written. A log that
    does not exist yet is waited for. A log that starts again is read from its beginning.
    """
    file: BinaryIO | None = None
    asked = time.monotonic()
    over = False
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as opened:
        while True:
            if file is None and log.exists():
                file = opened.enter_context(open_log(log))
                file.seek(0 if lines is None else _last(file, lines))
            anew = file is not None and _begun_anew(file, log)  # checked first; then the old log is read to its end
            if file is not None and (data := file.read(_CHUNK)):
                out.write(inert(data) if out.isatty() else data)
                out.flush()
            elif anew:
                opened.close()
                file, lines = None, None
            elif over:
                return
            elif until is not None and time.monotonic() - asked >= 1:
                over, asked = until(), time.monotonic()
            else:
                time.sleep(_POLL)


def _begun_anew(file: BinaryIO, log: Path) -> bool:
    """Whether ``log`` is another file now (libvirt's daemon moves a long one away), or was emptied."""
    try:
        now = log.stat()
    except FileNotFoundError:
        return False  # it is just being moved, or the VM was destroyed
    mine = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or now.st_size < file.tell()

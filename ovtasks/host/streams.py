"""Prepares the standard streams: they are open, take any text, and survive a reader that goes away."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import Any

_ASCII = {"→": "->", "←": "<-", "…": "...", "·": "-", "•": "-", "–": "-", "—": "-", "×": "x", "≤": "<=", "≥": ">="}
_QUOTES = {"“": '"', "”": '"', "‘": "'", "’": "'", "✓": "ok", "✗": "no"}
_PLAIN = {**_ASCII, **_QUOTES}
_HANDLER = "ovtasks.plain"


class _Messages(io.FileIO):
    """stderr, which a full disk behind it costs messages, and never the work or its exit code."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as e:
            if e.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
                raise
            return len(data)


def open_closed() -> None:
    """Open /dev/null for each closed standard stream.

    Otherwise the next file that is opened would get its number, and our messages would go into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False, encoding="utf-8")


def prepare() -> None:
    """Let stdout and stderr take any text.

    What the locale cannot write comes out in plain letters. Bytes of a file name that are not valid text come out as
    they are on the disk.
    """
    codecs.register_error(_HANDLER, _plain)
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr.fileno() == 2:
        sys.stderr.flush()
        raw = _Messages(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), sys.stderr.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # PEP 383: a byte of a file name
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character, "?"), error.start + 1


def last_words(message: str, code: int) -> int:
    """Say why it ends, if there is still somebody to say it to; returns the exit code."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    return code


def flush() -> None:
    """Write what is buffered now, while there is still somebody to report an error.

    :raises OSError: the disk is full, or nobody reads any more.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def stdout_works() -> bool:
    """Flush stdout and return whether that worked. If it did not, what it holds is dropped."""
    try:
        sys.stdout.flush()
    except (OSError, UnicodeError):
        abandon(sys.stdout)
        return False
    return True


def abandon(*streams: object) -> None:
    """Drop what these streams hold, so that the interpreter's end reports nothing: nobody reads them."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

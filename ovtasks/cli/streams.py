"""The standard streams as every command needs them: any locale, any reader, to the last byte."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys

_ASCII = {"→": "->", "←": "<-", "…": "...", "·": "-", "•": "-", "–": "-", "—": "-", "×": "x", "≤": "<=", "≥": ">="}
_QUOTES = {"“": '"', "”": '"', "‘": "'", "’": "'", "✓": "ok", "✗": "no"}
_PLAIN = {**_ASCII, **_QUOTES}
_HANDLER = "ovtasks.plain"


def prepare() -> None:
    """Let stdout and stderr take any text: what a locale cannot write is said in plain letters, and the bytes of a file
    name that is no valid text come out as they are on the disk."""
    codecs.register_error(_HANDLER, _plain)
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


def output_json(data: object) -> None:
    """Print JSON on stdout; in a locale that cannot hold every character, with escapes."""
    json.dump(data, sys.stdout, indent=1, ensure_ascii=not _takes_unicode())
    sys.stdout.write("\n")


def _takes_unicode() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


def flush() -> None:
    """Write what is buffered now, while an error still has somebody to report it.

    :raises OSError: the disk is full, nobody reads any more.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def stdout_works() -> bool:
    """Whether stdout takes what it still holds; if it does not, that is given up."""
    try:
        sys.stdout.flush()
    except (OSError, UnicodeError):
        abandon(sys.stdout)
        return False
    return True


def abandon(*streams: object) -> None:
    """Nobody takes what these streams say: be silent, at the interpreter's end too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

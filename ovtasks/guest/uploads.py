"""Scripts that put files into a guest: each appears whole, with its owner and mode, or not at all. Pure.

The temporary name lies beside the file and is always the same, so the next upload takes over what a killed one left.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_TEXT = 64 << 10
"""Bytes of a text that stands in the script as it is."""
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@$-]*(:[A-Za-z0-9_.@$-]*)?|:[A-Za-z0-9_.@$-]+")
_END = b"end_of_base64"
_FUNCTIONS = b"""\
umask 077
set -C
part() {
    t=${1%%/*}/.${1##*/}.part
    if [ -d "$1" ]; then echo "$1 is a directory" >&2; return 1; fi
    if [ -e "$t" ] || [ -L "$t" ]; then rm -f "$t"; fi
}
give() { { [ -z "$2" ] || chown "$2" "$t"; } && chmod "$1" "$t"; }
fail() { cat /proc/version >>"$t"; rm -f %s; exit 1; }
"""
# printf's own words for a full disk are "I/O error"; the cat in fail() says it again in the kernel's words.


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file for the guest. ``path`` is absolute, and its folder is there. ``owner`` is ``user``, ``user:group`` or
    numbers; None: whoever writes it.

    :raises ValueError: the path is not absolute, or the owner or mode is none.
    """

    path: str
    content: bytes
    mode: int = 0o644
    owner: str | None = None

    def __post_init__(self) -> None:
        check_place(self.path, self.mode, self.owner)


def check_place(path: str, mode: int, owner: str | None) -> None:
    """Check where a file goes, and whose it gets.

    :raises ValueError: as :class:`GuestFile`.
    """
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"{path!r} is not an absolute path of a file")
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"{mode:o} is not a mode of a file")
    if owner is not None and not _OWNER.fullmatch(owner):
        raise ValueError(f"{owner!r} is not an owner of a file")


def place_many(files: Iterable[GuestFile]) -> bytes:
    """The script that writes small files: all of them under temporary names first, then each gets its own name.

    It is a subshell, so it may stand in a longer script. Content with a NUL byte, or a long one, needs base64(1) in the
    guest.
    """
    places = [(_word(file.path), _word(_part(file.path)), file) for file in files]
    if not places:
        return b":\n"
    parts = b" ".join(part for _, part, _ in places)
    writes = b"".join(b"part %s && %s" % (path, _writing(file)) for path, _, file in places)
    moves = b"".join(b"mv -f %s %s || fail\n" % (part, path) for path, part, _ in places)
    return b"(\n%s%s%s%s)\n" % (_FUNCTIONS % parts, writes, _flush(parts), moves)


def place_stream(path: str, size: int, mode: int, owner: str | None) -> bytes:
    """The script that writes one file of ``size`` bytes from its stdin.

    :raises ValueError: as :class:`GuestFile`.
    """
    check_place(path, mode, owner)
    name, part = _word(path), _word(_part(path))
    return b"".join(
        (
            _FUNCTIONS % part,
            b'part %s && head -c %d >"$t" && [ "$(wc -c <"$t")" -eq %d ] && ' % (name, size, size),
            b"give %04o %s || fail\n" % (mode, _word(owner or "")),
            _flush(part),
            b"mv -f %s %s || fail\n" % (part, name),
        )
    )


def _writing(file: GuestFile) -> bytes:
    """The rest of a file's line: its content goes into ``$t``."""
    given = b"give %04o %s || fail\n" % (file.mode, _word(file.owner or ""))
    if b"\0" not in file.content and len(file.content) <= _LONGEST_TEXT:
        return b'printf %%s %s >"$t" && %s' % (_quoted(file.content), given)
    whole = b'[ "$(wc -c <"$t")" -eq %d ]' % len(file.content)
    text = base64.encodebytes(file.content)
    return b"base64 -d <<'%s' >\"$t\" && %s && %s%s%s\n" % (_END, whole, given, text, _END)


def _flush(parts: bytes) -> bytes:
    """A new name before its content is on the disk would be an empty file after a power cut."""
    return b"sync %s 2>/dev/null || sync || fail\n" % parts


def _part(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def _word(text: str) -> bytes:
    return _quoted(text.encode(errors="surrogateescape"))


def _quoted(text: bytes) -> bytes:
    """One word for sh, whatever its bytes."""
    return b"'" + text.replace(b"'", b"'\"'\"'") + b"'"

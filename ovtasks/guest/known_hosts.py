"""Reads and extends a ``known_hosts`` file: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".

As with ssh's HostKeyAlias, a guest is looked up by its alias alone, whatever its port. Host certificates
(``@cert-authority``) are not supported: such a line is no known key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from ovtasks.guest.ssh_config import known_hosts_line
from ovtasks.host.files import write_atomic
from ovtasks.host.state import read_text


class KnownHost(StrEnum):
    """What ``known_hosts`` says about a key that a host shows."""

    KNOWN = "known"
    NEW = "new"
    CHANGED = "changed"
    REVOKED = "revoked"


def look_up(text: str, alias: str, kind: str, key: str) -> KnownHost:
    """What the file's ``text`` says about the key (``kind`` as in ``ssh-ed25519``, ``key`` in base64)."""
    result = KnownHost.NEW
    for marker, known_kind, known_key in _lines(text, alias):
        same = (known_kind, known_key) == (kind, key)
        if marker == "@revoked" and same:
            return KnownHost.REVOKED
        if marker:
            continue
        if same:
            result = KnownHost.KNOWN
        elif known_kind == kind and result is KnownHost.NEW:
            result = KnownHost.CHANGED
    return result


def kinds(text: str, alias: str) -> tuple[str, ...]:
    """The kinds of keys known for a host, for ssh to ask for these first."""
    return tuple(dict.fromkeys(kind for marker, kind, _ in _lines(text, alias) if not marker))


def remember(path: Path, alias: str, kind: str, key: str) -> None:
    """Add a key to the file, which is made when there is none."""
    text = read_text(path) or ""
    if text and not text.endswith("\n"):
        text += "\n"
    write_atomic(path, text + known_hosts_line(alias, f"{kind} {key}"), mode=0o600)


def _lines(text: str, alias: str) -> Iterator[tuple[str, str, str]]:
    """Marker (or nothing), kind and key of each line that is about the host."""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) >= 3 and _matches(words[0], alias):
            yield marker, words[1], words[2]


def _matches(names: str, alias: str) -> bool:
    """Whether a line's first word means the host: a hash of its name, or patterns divided by commas."""
    if names.startswith("|1|"):
        return _hash_matches(names, alias)
    found = False
    for pattern in names.split(","):
        if _glob(pattern.removeprefix("!").lower()).fullmatch(alias.lower()):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern))


def _hash_matches(name: str, alias: str) -> bool:
    """``|1|salt|hash``, as HashKnownHosts writes it: an HMAC-SHA1 of the name."""
    _, _, salt, digest = (*name.split("|"), "", "")[:4]
    try:
        made = hmac.digest(base64.b64decode(salt, validate=True), alias.lower().encode(), hashlib.sha1)
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return False

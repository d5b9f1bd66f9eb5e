"""Keyrings that are fetched. Whoever serves one is not trusted: only keys with the wanted fingerprints count.

A key that this machine has already, from a package of the distribution's keys, is taken from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.files import write_atomic
from ovtasks.images.checksums import LARGEST_FILE
from ovtasks.images.request import ImageRequest, public
from ovtasks.images.signature import dearmor
from ovtasks.images.store import Store

INSTALLED = ("/usr/share/keyrings/*", "/usr/share/distribution-gpg-keys/*/*", "/etc/pki/rpm-gpg/*")
"""Where packages put keys. Ubuntu's package is ubuntu-keyring, distribution-gpg-keys has those of many."""


def with_keyring(request: ImageRequest, *, refresh: bool = False) -> ImageRequest:
    """The request with its keyring as a file of the image store; unchanged if its keyring is none to fetch.

    ``refresh``: ask again, for a key may have been prolonged. Without an answer the old one stays.

    :raises InputError: no wanted key is there. :raises OvError: the server cannot be reached.
    """
    url, wanted = request.checksum.keyring_url, request.checksum.fingerprints
    if url is None:
        return request
    store = Store(request.store)
    path = store.keyring(hashlib.sha256("\n".join((url, *wanted)).encode()).hexdigest())
    if refresh or not _holds(_read(path), wanted):
        _bring(store, path, request.at(url), wanted, ask=refresh and path.is_file())
    return replace(request, checksum=replace(request.checksum, keyring=path))


def _bring(store: Store, path: Path, url: str, wanted: tuple[str, ...], *, ask: bool) -> None:
    """Write the keyring to ``path``. One that is there stays if nothing better can be had.

    ``ask`` the server even if this machine has the key.
    """
    from ovtasks.images.http import get_small, open_session

    data = None if ask else next((data for file in _installed() if _holds(data := _read(file), wanted)), None)
    if data is None:
        try:
            with open_session() as session:
                answer = get_small(session, url, LARGEST_FILE)
        except OvError:
            if path.is_file():
                return
            raise
        data = b"" if isinstance(answer, str) else answer[0]
        if not _holds(data, wanted):
            if path.is_file():
                return
            why = f"answers {answer}" if isinstance(answer, str) else f"has no key {' or '.join(wanted)}"
            hint = "get the key in another way and name its file: checksum.keyring"
            raise InputError(f"the keyring {public(url)} {why}", hint=hint)
    with store.guard("write a keyring to the image store"):
        write_atomic(path, data, mode=0o600)


def _installed() -> Iterator[Path]:
    for pattern in INSTALLED:
        yield from sorted(path for path in Path("/").glob(pattern.lstrip("/")) if path.is_file())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE)
    except OSError:
        return b""


def _holds(data: bytes, wanted: tuple[str, ...]) -> bool:
    """Whether one of the wanted keys is among the data."""
    try:
        return not {*wanted}.isdisjoint(fingerprints(dearmor(data, Path("keyring"))))
    except InputError:
        return False


def fingerprints(data: bytes) -> Iterator[str]:
    """The fingerprints of the primary keys in a binary keyring (RFC 9580 §4.2, §5.5.4). It ends where it is damaged."""
    at = 0
    while at < len(data):
        head = data[at]
        if head & 0xC0 == 0xC0:
            kind, length, begin = head & 0x3F, *_new_length(data, at + 1)
        else:
            width = (1, 2, 4, 0)[head & 3]
            kind, begin = (head >> 2) & 0xF, at + 1 + width
            length = int.from_bytes(data[at + 1 : begin], "big") if head & 0x80 and width else 0
        if length <= 0 or begin + length > len(data):
            return
        body = data[begin : begin + length]
        if kind == 6 and body[0] == 4:
            yield hashlib.sha1(b"\x99" + length.to_bytes(2, "big") + body).hexdigest().upper()
        elif kind == 6 and body[0] == 6:
            yield hashlib.sha256(b"\x9b" + length.to_bytes(4, "big") + body).hexdigest().upper()
        at = begin + length


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """A packet's length in today's format, and where its body begins; 0 if it has no length of its own."""
    first = data[at] if at < len(data) else 255
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + int.from_bytes(data[at + 1 : at + 2], "big") + 192, at + 2
    return (int.from_bytes(data[at + 1 : at + 5], "big"), at + 5) if first == 255 else (0, at + 1)

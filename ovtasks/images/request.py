"""What is asked for: one image, by URL, with what is known about its content."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from ovtasks.errors import InputError
from ovtasks.jsonvalue import digest
from ovtasks.spec.model import Checksum

KEY_LENGTH = 12
FROM_SPEC = "vms.yml"
FROM_LOCK = "ovtasks.lock"
_DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of ``ovtasks.lock``: where the URL led, and sha256 and size (bytes) of what came, as downloaded."""

    final_url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """``url`` is http(s)://, file:// or an absolute path; ``store`` is the root of the image store."""

    url: str
    checksum: Checksum
    store: Path
    pin: Pin | None = None

    @property
    def key(self) -> str:
        """12 hexadecimal digits that name the URL together with what must be true of its content."""
        checksum = self.checksum
        identity: list[str | None] = [
            self.url,
            checksum.type,
            str(checksum.keyring) if checksum.keyring else None,
            checksum.value.lower() if checksum.value else None,
            self.pin.sha256 if self.pin else None,
        ]
        return digest(identity)[:KEY_LENGTH]

    @property
    def local(self) -> Path | None:
        """The file that a ``file://`` URL or a path names; None for the network.

        :raises InputError: neither a supported URL nor an absolute path.
        """
        return local_path(self.url)

    def known_digest(self) -> tuple[str, str] | None:
        """(``"sha256:…"`` or ``"sha512:…"``, who said so) when no question is needed to learn it.

        :raises InputError: the value is no digest of its type, or contradicts ``ovtasks.lock``.
        """
        pinned = f"sha256:{self.pin.sha256}" if self.pin else None
        if self.checksum.value is None:
            return (pinned, FROM_LOCK) if pinned else None
        value = parse_digest(self.checksum.type, self.checksum.value)
        if pinned and value.startswith("sha256:") and value != pinned:
            raise InputError(
                f"ovtasks.lock pins {public(self.url)} to {pinned}, vms.yml asks for {value}",
                hint="ov lock --update writes the lock file anew",
            )
        return value, FROM_SPEC


def parse_digest(type: str, value: str) -> str:
    """``type:hex`` in lower case; ``value`` may carry its type as a prefix.

    :raises InputError: wrong length or characters for the type.
    """
    prefix, colon, rest = value.strip().rpartition(":")
    text, length = rest.lower(), _DIGEST_LENGTHS.get(type)
    if length is None or (colon and prefix.lower() != type) or len(text) != length or not is_hex(text):
        raise InputError(
            f"checksum value {value!r} is no {type} digest",
            hint="sha256 has 64 hexadecimal digits, sha512 has 128; the type is checksum.type",
        )
    return f"{type}:{text}"


def is_hex(text: str) -> bool:
    """Hexadecimal digits only, at least one."""
    return bool(text) and all(c in "0123456789abcdefABCDEF" for c in text)


def local_path(url: str) -> Path | None:
    """The path of a ``file://`` URL (RFC 8089) or of an absolute path; None for http(s).

    :raises InputError: another scheme, another host, a relative path.
    """
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.hostname:
        return None
    if parts.scheme == "file" and parts.hostname in {None, "localhost"} and parts.path.startswith("/"):
        return Path(unquote(parts.path))
    raise InputError(
        f"{public(url)!r} is not a place that images come from",
        hint="use http://…, https://…, file:///… or an absolute path",
    )


def base_name(url: str) -> str:
    """The file name at the end of a URL (query cut off, %-escapes resolved) or of a path."""
    path = url if url.startswith("/") else unquote(urlsplit(url).path)
    return posixpath.basename(path)


def public(url: str) -> str:
    """``url`` without user and password: for messages and records."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

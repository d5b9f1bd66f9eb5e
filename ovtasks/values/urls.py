"""Where images come from (http, https, file URLs, absolute paths), and digests as people write them. No I/O."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

from ovtasks.errors import InputError

DIGEST_DIGITS = {"sha256": 64, "sha512": 128}
NO_PLACE = "is not a place that images come from"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ASCII_HOST = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_FILE = re.compile(r"file://(?P<host>[^/]*)(?P<path>/.*)", re.IGNORECASE | re.DOTALL)
_TYPED = re.compile(r"(?:(?P<type>[A-Za-z0-9-]+)[:=] ?)?(?P<hex>[0-9A-Fa-f]+)", re.ASCII)
# Query parameters that grant access to whoever knows the URL: signed URLs of object stores, tokens.
_SECRET = re.compile(
    r"((?:^|[&;])(?:[^=&;]*(?:tok|ticket|nonce|access|grant|hash|md5|sig|secret|key|passw|pwd|auth|credential|session|jwt|code|policy|hmac|hdnt)[^=&;]*"
    r"|x-[a-z]+-[^=&;]*|user|pass|expires|s[epvrt]|ske|skt|sks))=[^&;#]*",  # last names: beside a signature
    re.IGNORECASE,
)
_HIDDEN = r"\1=…"
# What looks drawn at random, whatever its name is: a long run of letters and digits.
_RANDOM = re.compile(
    r"((?:^|[&;])[^=&;]*)=(?=[^&;#]*(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{20})[^&;#]*"
)
# user:password@ with a slash too few before it, or with a character in it that ends the host.
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/?|//)[^/@\s]*:[^@]*@")
_ODD_PASSWORD = re.compile(r"(?!\[)[^/?#@]*:(?![0-9]*(?:[/?#]|$))[^@]*@")
_ESCAPED = "in a name or password write %23 for #, %2F for /, %3F for ?"
_HARMLESS = {"Port out of range 0-65535", "Invalid IPv6 URL"}
_PLACES = "use http://…, https://…, file:///… or an absolute path"


def is_web(url: str) -> bool:
    """Whether ``url`` is an http or https URL."""
    return re.match("https?://", url, re.IGNORECASE) is not None


def is_https(url: str) -> bool:
    """Whether ``url`` is an https URL."""
    return url[:8].lower() == "https://"


def check_url(url: str) -> None:
    """:raises InputError: ``url`` names no place that an image could be at; the message begins with what is wrong."""
    if is_web(url):
        _check_web(url)
    elif _USER.match(url):
        raise InputError("is not a URL: two slashes stand before the host", hint="a URL is https://HOST[:PORT]/PATH")
    else:
        local_path(url)


def local_path(url: str) -> Path:
    """The path that a ``file://`` URL (RFC 8089; ``?`` and ``#`` belong to it) or an absolute path names, literally.

    :raises InputError: ``url`` is neither, names another host, or holds a character that no path can have.
    """
    match = _FILE.fullmatch(url)
    if url.startswith("/"):
        path = url
    elif match is not None:
        if match["host"].lower() not in {"", "localhost"}:
            raise InputError(
                f"names the host {match['host']!r}", hint=f"a file URL of this machine is file://{match['path']}"
            )
        path = os.fsdecode(unquote_to_bytes(match["path"]))
    else:
        raise InputError(NO_PLACE, hint=_PLACES)
    if "\0" in path:
        raise InputError("holds a null character", hint="no file has such a name")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError("holds half of a character", hint="write the path in UTF-8") from None
    return Path(path)


def beside_url(image: str, reference: str) -> str:
    """The URL or path that ``reference`` means: a URL stands for itself, anything else is relative to ``image``.

    :raises InputError: ``image`` is neither a URL nor a path.
    """
    if re.match("[A-Za-z][A-Za-z0-9+.-]*://", reference):
        return reference
    if is_web(image):
        return urljoin(image, quote(reference, safe="%/?=&;+,:@!$'()*~"))
    return os.path.normpath(local_path(image).parent / reference)


def _check_web(url: str) -> None:
    if found := _CONTROL.search(url):
        raise InputError(f"holds the control character {found[0]!r}", hint="remove it, or write it as %XX")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        url.encode()
    except UnicodeError:
        raise InputError("holds half of a character", hint="write the URL in UTF-8") from None
    except ValueError as e:
        hint = _ESCAPED if "@" in url else "a URL is https://HOST[:PORT]/PATH"
        raise InputError(f"is not a URL: {_reason(e)}", hint=hint) from None
    if not host or not _is_host(host, parts):
        raise InputError(f"is not a URL: {host!r} is not a host name", hint="a URL is https://HOST[:PORT]/PATH")
    if port == 0:
        raise InputError("is not a URL: nothing listens on port 0", hint="a URL is https://HOST[:PORT]/PATH")
    if "@" in parts.fragment:  # what stands before it is half of a password
        raise InputError("has a part that no server sees, after a #", hint=_ESCAPED)
    if parts.fragment:
        raise InputError(
            f"has a part that no server sees: #{parts.fragment}", hint="write %23 for a # in a name, or remove it"
        )


def _is_host(host: str, parts: SplitResult) -> bool:
    if "[" in parts.netloc or _ASCII_HOST.fullmatch(host):
        return len(host) <= 253 and ".." not in host
    try:
        return not host.isascii() and bool(_ASCII_HOST.fullmatch(host.encode("idna").decode("ascii")))
    except UnicodeError:
        return False


def _reason(e: ValueError) -> str:
    """What is wrong, without the text of the URL: it may be a part of a password."""
    text = str(e)
    if text.startswith("Port could not be cast"):
        return "its port is not a number"
    if "NFKC" in text:
        return "its host holds a character that stands for several"
    return f"{text[:1].lower()}{text[1:]}" if text in _HARMLESS else "malformed"


def split_digest(value: str) -> tuple[str | None, str] | None:
    """``("sha256", hex)`` of ``sha256:HEX`` or ``SHA256=HEX``, ``(None, hex)`` of ``HEX``, in lower case; else None."""
    match = _TYPED.fullmatch(value.strip())
    if match is None:
        return None
    type = match["type"]
    return type.lower().replace("sha2-", "sha").replace("sha-", "sha") if type else None, match["hex"].lower()


def public(url: str) -> str:
    """``url`` for messages and records: without user, password and secret query parameters."""
    scheme, colon, rest = url.partition("://")
    if not colon or not scheme.isalnum() or scheme.lower() == "file":
        return _USER.sub(r"\1", url, count=1) if _USER.match(url) else url
    rest = _ODD_PASSWORD.sub("", rest, count=1) if _ODD_PASSWORD.match(rest) else rest
    authority, slash, path = rest.partition("/")
    path, question, query = path.partition("?")
    if ";" in path:  # parameters of a path, as they were before queries
        path = "/".join(_SECRET.sub(_HIDDEN, part) if ";" in part else part for part in path.split("/"))
    shown = _RANDOM.sub(_HIDDEN, _SECRET.sub(_HIDDEN, query))
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}{question}{shown}"

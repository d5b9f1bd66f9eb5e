"""Checksum files: where they lie beside an image, and what they say. No I/O.

Formats: GNU coreutils (``hex  name``, ``hex *name``, ``\\hex  name`` with escapes), BSD (``SHA256 (name) = hex``), a
bare digest, and each of them inside an OpenPGP clear-signed text (RFC 9580 §7).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import urljoin, urlsplit, urlunsplit

from ovtasks.images.request import base_name

LARGEST_FILE = 1 << 20  # bytes; Ubuntu's and Fedora's are some kilobytes
SIGNATURE_SUFFIXES = (".gpg", ".sign", ".asc", ".sig")
_BESIDE = (".SHA256", ".sha256", ".sha256sum", ".SHA512", ".sha512", ".sha512sum", ".SHA256SUM")
_IN_DIRECTORY = ("SHA256SUMS", "SHA512SUMS", "CHECKSUM", "CHECKSUM.SHA256", "sha256sum.txt")
_LENGTHS = {64: "sha256", 128: "sha512"}
_GNU = re.compile(r"(\\?)([0-9A-Fa-f]+) [ *](.+)")
_BSD = re.compile(r"(SHA256|SHA512|SHA2-256|SHA2-512) ?\((.+)\) ?= ?([0-9A-Fa-f]+)")
_HREF = re.compile(r"""href\s*=\s*["']?([^"'>\s]+CHECKSUM)["'>\s]""", re.IGNORECASE)
_FEDORA_OLD = re.compile(r"(Fedora-[A-Za-z]+)-Base(?:-[A-Za-z_]+)*[.-](\w+)-(\d+)-([\d.]+)\.[a-z].*")
_FEDORA_NEW = re.compile(r"(Fedora-[A-Za-z]+)-Base(?:-[A-Za-z_]+)*-(\d+)-([\d.]+?)\.(x86_64|aarch64|ppc64le|s390x)\..*")
_CLEAR_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place to look: ``own`` means that the file speaks of this one image (so that it may be a bare digest)."""

    url: str
    own: bool


def candidates(url: str) -> list[Candidate]:
    """The places beside an image, best first. Suffixes go to the path: the URL's query stays where it is."""
    own = [Candidate(beside(url, suffix), True) for suffix in _BESIDE]
    names = [*_IN_DIRECTORY]
    if (derived := fedora_checksum_name(base_name(url))) is not None:
        names.insert(0, derived)
    return [*own, *(Candidate(sibling(url, name), False) for name in names)]


def beside(url: str, suffix: str) -> str:
    """``url`` with ``suffix`` at the end of its path."""
    if url.startswith("/"):
        return url + suffix
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def sibling(url: str, name: str) -> str:
    """The file ``name`` in the directory of ``url``, without the query; ``""`` is the directory itself."""
    if url.startswith("/"):
        return posixpath.join(posixpath.dirname(url), name)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=posixpath.join(posixpath.dirname(parts.path), name), query="", fragment=""))


def fedora_checksum_name(name: str) -> str | None:
    """``Fedora-Cloud-41-1.4-x86_64-CHECKSUM`` for ``Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2``.

    Up to release 40 the architecture came before the release in the image's name.
    """
    if (match := _FEDORA_NEW.fullmatch(name)) is not None:
        product, release, compose, architecture = match.groups()
    elif (match := _FEDORA_OLD.fullmatch(name)) is not None:
        product, architecture, release, compose = match.groups()
    else:
        return None
    return f"{product}-{release}-{compose}-{architecture}-CHECKSUM"


def listed_checksum_files(page: str, url: str) -> list[str]:
    """URLs of the ``*-CHECKSUM`` files that a directory's index page links to, in that directory; at most 4."""
    found = [urljoin(url, unescape(href)) for href in _HREF.findall(page)]
    here = urlsplit(url).path.rstrip("/") or "/"
    same = [link for link in found if posixpath.dirname(urlsplit(link).path) == here]
    return list(dict.fromkeys(same))[:4]


def decode(data: bytes) -> str:
    """The text of a checksum file: UTF-8, or UTF-16 where its byte order mark says so; without that mark."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def find_digest(text: str, names: Sequence[str], kinds: Sequence[str], *, own: bool) -> str | None:
    """The digest (``type:hex``) that ``text`` gives for the file ``names[0]`` (else ``names[1]`` …).

    Names match exactly; a directory before the name is accepted in a file that is the image's ``own``, and ``./``
    anywhere. The first of ``kinds`` (``sha256``, ``sha512``) that is found wins. Two different digests of one kind for
    the same name are no answer.
    """
    lines = [parsed for line in text.splitlines() if (parsed := _parse_line(line)) is not None]
    for name in names:
        for kind in kinds:
            found = {hex for k, hex, listed in lines if k == kind and _same_name(listed, name, own=own)}
            if len(found) == 1:
                return f"{kind}:{found.pop()}"
    bare = text.split()
    if own and len(bare) == 1 and re.fullmatch("[0-9A-Fa-f]+", bare[0]) and _LENGTHS.get(len(bare[0])) in kinds:
        return f"{_LENGTHS[len(bare[0])]}:{bare[0].lower()}"
    return None


def _parse_line(line: str) -> tuple[str, str, str] | None:
    """(type, hex, name) of one line; None for anything else."""
    line = line.strip()
    if (match := _BSD.fullmatch(line)) is not None:
        kind, name, digest = match[1].replace("SHA2-", "SHA").lower(), match[2], match[3].lower()
        return (kind, digest, name) if _LENGTHS.get(len(digest)) == kind else None
    if (match := _GNU.fullmatch(line)) is not None and len(match[2]) in _LENGTHS:
        name = match[3]
        if match[1]:  # coreutils escapes a name that holds a backslash or a newline
            name = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name)
        return _LENGTHS[len(match[2])], match[2].lower(), name
    return None


def _same_name(listed: str, name: str, *, own: bool) -> bool:
    return listed.removeprefix("./") == name or (own and posixpath.basename(listed) == name)


def is_clear_signed(text: str) -> bool:
    return text.lstrip("\ufeff\r\n ").startswith(_CLEAR_SIGNED)


def strip_armor(text: str) -> str:
    """The text inside an OpenPGP clear-signed message (headers and signature cut off, dashes unescaped); else ``text``.

    This does not verify anything.
    """
    if not is_clear_signed(text):
        return text
    lines = text.lstrip("\ufeff\r\n ").splitlines()
    start = next((i for i, line in enumerate(lines) if not line.strip()), 0) + 1
    end = next((i for i, line in enumerate(lines) if line.startswith(_SIGNATURE)), len(lines))
    return "\n".join(line.removeprefix("- ") for line in lines[start:end])


def base_names(*urls: str | None) -> list[str]:
    """The base names of the URLs that are given, without repetition."""
    return list(dict.fromkeys(base_name(url) for url in urls if url))

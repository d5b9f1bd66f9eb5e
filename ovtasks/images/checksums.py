"""Checksum files: where to look for them beside an image, and how to read them. No I/O.

Formats: GNU coreutils (``hex  name``, ``hex *name``, ``\\hex  name`` with escapes), BSD (``SHA256 (name) = hex``),
Gentoo's and Flatcar's DIGESTS (``# SHA512 HASH`` above GNU lines), a bare digest. Each may stand inside an OpenPGP
clear-signed text (RFC 9580 §7).
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from ovtasks.images.request import base_name
from ovtasks.values.urls import beside_url as beside_url

LARGEST_FILE = 1 << 20  # bytes; Ubuntu's and Fedora's are some kilobytes
SIGNATURE_SUFFIXES = (".gpg", ".sign", ".asc", ".sig")
_BESIDE = (
    ".SHA256",
    ".sha256",
    ".sha256sum",
    ".SHA512",
    ".sha512",
    ".sha512sum",
    ".SHA256SUM",
    ".SHA512SUM",
    ".CHECKSUM",
    ".DIGESTS",
)
_IN_DIRECTORY = (
    "SHA256SUMS",
    "SHA512SUMS",
    "CHECKSUM",
    "CHECKSUM.SHA256",
    "CHECKSUM.SHA512",
    "SHA256",
    "SHA512",
    "sha256sum.txt",
    "sha512sum.txt",
)
_LISTED = re.compile(r"[^/]*(?:CHECKSUMS?|(?:SHA|sha)(?:256|512)(?:SUMS?|sums?)?)(?:\.txt)?|[^/]*(?:sums|SUMS)\.txt")
_MOST_LISTED = 4
_LENGTHS = {64: "sha256", 128: "sha512"}
_GNU = re.compile(r"(\\?)(?:(?:sha-?256|sha-?512)[:=])?([0-9A-Fa-f]+)(?: [ *](?=\S)|[ \t]+\*?)(.+)", re.IGNORECASE)
_BSD = re.compile(r"(SHA2?-?256|SHA2?-?512)[ \t]*\((.+)\)[ \t]*=[ \t]*([0-9A-Fa-f]+)", re.IGNORECASE)
_BARE = re.compile(r"(?:sha-?(?:256|512)[:=])?([0-9A-Fa-f]+)", re.IGNORECASE)
_SECTION = re.compile(r"#\s*([A-Z0-9-]+)\s+HASH\b.*", re.IGNORECASE)
_HREF = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_WORDS = re.compile(r"[-_.]")
_DATED = re.compile(r"(?:v|build|b|r|snapshot)?\d[\dT]*(?:[a-z]\d*)?|latest|current|stable", re.IGNORECASE)
_FEDORA_OLD = re.compile(r"(Fedora-[A-Za-z]+)-Base(?:-[A-Za-z_]+)*[.-](\w+)-(\d+)-([\d.]+)\.[a-z].*")
_FEDORA_NEW = re.compile(r"(Fedora-[A-Za-z]+)-Base(?:-[A-Za-z_]+)*-(\d+)-([\d.]+?)\.(x86_64|aarch64|ppc64le|s390x)\..*")
_CLEAR_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place to look. ``own``: the file is about this image alone, so it may be a bare digest."""

    url: str
    own: bool


def candidates(url: str) -> list[Candidate]:
    """The places beside an image, best first. A suffix is added to the path, before the URL's query."""
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


def quoted(url: str, name: str) -> str:
    """A file's ``name`` as it stands in ``url``: quoted in a URL, unchanged in a path."""
    return name if url.startswith("/") else quote(os.fsencode(name))


def same_origin(one: str, other: str) -> bool:
    """Whether one server answers both URLs. Paths of this machine have one origin."""
    return one.startswith("/") or urlsplit(one)[:2] == urlsplit(other)[:2]


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
    """URLs of at most 4 checksum files in a directory, taken from the links of its index page."""
    here = urlsplit(url).path.rstrip("/") or "/"
    same: dict[str, str] = {}
    for groups in _HREF.findall(page):
        with contextlib.suppress(ValueError):  # a link that is not a URL is ignored
            link = urljoin(url, unescape("".join(groups)))
            folder, name = posixpath.split(urlsplit(link).path)
            if folder == here and same_origin(link, url):
                same[name] = link
    return [same[name] for name in checksum_files(same)]


def checksum_files(names: Iterable[str]) -> list[str]:
    """At most 4 of a directory's files, those that look like checksum files."""
    return sorted(name for name in set(names) if _LISTED.fullmatch(name))[:_MOST_LISTED]


def decode(data: bytes) -> str:
    """The text of a checksum file, without its byte order mark: UTF-8, or UTF-16 if the mark says so."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="surrogateescape")  # a name may be in another encoding


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a checksum file: type, digest, and the file (a name, or a path that ends in one)."""

    kind: str
    hex: str
    path: str

    @property
    def name(self) -> str:
        return self.path.replace("\\", "/").rpartition("/")[2]


def find_digest(text: str, names: Sequence[str], kinds: Sequence[str], *, own: bool) -> str | None:
    """The digest (``type:hex``) that ``text`` gives for the file ``names[0]`` (else ``names[1]`` …).

    The exact name counts first, then the name in a folder. "latest" is often a link, so after that the same name with a
    date or a version in it counts, and in a file that is the image's ``own`` any single name. The first of ``kinds``
    (``sha256``, ``sha512``) that is found wins. Two different digests of one kind count as none.
    """
    lines = list(_lines(text))
    for fits in _FITS:
        for name in names:
            found = [line for line in lines if fits(line, name)]
            if found:
                return _agreed(found, kinds)
    if not own:
        return None
    if lines and len({line.path for line in lines}) == 1:
        return _agreed(lines, kinds)
    bare = text.split()
    if len(bare) == 1 and (match := _BARE.fullmatch(bare[0])) and _LENGTHS.get(len(match[1])) in kinds:
        return f"{_LENGTHS[len(match[1])]}:{match[1].lower()}"
    return None


def _agreed(lines: Sequence[_Line], kinds: Sequence[str]) -> str | None:
    for kind in kinds:
        found = {line.hex for line in lines if line.kind == kind}
        if len(found) == 1:
            return f"{kind}:{found.pop()}"
    return None


_FITS: tuple[Callable[[_Line, str], bool], ...] = (
    lambda line, name: line.path.removeprefix("./") == name,
    lambda line, name: name.strip() in {line.name, line.name.removeprefix("*")},
    lambda line, name: _dated(line.name, name),
)


def _dated(listed: str, name: str) -> bool:
    """Whether ``listed`` is ``name`` with extra words, all of them dates or versions."""
    wanted = [word for word in _WORDS.split(name) if word.lower() not in {"latest", "current"}]
    extra = []
    for word in _WORDS.split(listed):
        if wanted and word == wanted[0]:
            wanted.pop(0)
        else:
            extra.append(word)
    return not wanted and all(_DATED.fullmatch(word) for word in extra)


def _lines(text: str) -> Iterator[_Line]:
    """The lines of a checksum file. Below a heading ``# SHA512 HASH`` only digests of that kind count."""
    section: str | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if (heading := _SECTION.fullmatch(line)) is not None:
            section = heading[1].lower().replace("-", "")
        elif (match := _BSD.fullmatch(line)) is not None:
            kind, digest = "sha" + match[1][-3:], match[3].lower()
            if _LENGTHS.get(len(digest)) == kind:
                yield _Line(kind, digest, match[2])
        elif (match := _GNU.fullmatch(line)) is not None and (kind := _LENGTHS.get(len(match[2]), "")):
            name = match[3]
            if match[1]:  # coreutils escapes a name that holds a backslash or a newline
                name = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name)
            if section in {None, kind}:
                yield _Line(kind, match[2].lower(), name)


def is_clear_signed(text: str) -> bool:
    """Whether ``text`` is an OpenPGP clear-signed message."""
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
    """The base names of the given URLs, without repetitions."""
    return list(dict.fromkeys(base_name(url) for url in urls if url))

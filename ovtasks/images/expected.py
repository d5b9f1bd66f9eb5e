"""What an image should be: the digest from ``vms.yml``, ``ovtasks.lock`` or a checksum file beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ovtasks.errors import InputError
from ovtasks.host.state import read_input
from ovtasks.images.checksums import (
    LARGEST_FILE,
    SIGNATURE_SUFFIXES,
    Candidate,
    base_names,
    beside,
    candidates,
    find_digest,
    is_clear_signed,
    listed_checksum_files,
    sibling,
    strip_armor,
)
from ovtasks.images.request import ImageRequest, local_path, public

if TYPE_CHECKING:
    import requests

NONE_ASKED = "none asked"


@dataclass(frozen=True, slots=True)
class Expected:
    """``digest`` is ``type:hex`` or None, ``source`` who says so; with a keyring also what was signed, unverified.

    ``signed`` None with a ``signature``: the image itself is what was signed.
    """

    digest: str | None
    source: str
    signed_url: str | None = None
    signature_url: str | None = None
    signed: bytes | None = None
    signature: bytes | None = None


class Places(Protocol):
    """Where checksum files are read: the web or this machine."""

    def read(self, url: str) -> tuple[bytes, str] | str:
        """A file's bytes and where it was in the end, or why there are none."""

    def final_url(self, url: str) -> str | None:
        """Where redirects lead."""


@dataclass(frozen=True, slots=True)
class WebPlaces:
    session: requests.Session

    def read(self, url: str) -> tuple[bytes, str] | str:
        from ovtasks.images.transport import get_small

        return get_small(self.session, url, LARGEST_FILE)

    def final_url(self, url: str) -> str | None:
        from ovtasks.images.transport import Attempts, ask

        with ask(self.session, "HEAD", url, Attempts()) as response:
            return str(response.url) if response.status_code == 200 else None


@dataclass(frozen=True, slots=True)
class LocalPlaces:
    def read(self, url: str) -> tuple[bytes, str] | str:
        path = local_path(url)
        assert path is not None
        try:
            data = read_input(path, LARGEST_FILE)
        except FileNotFoundError:
            return "no such file"
        except OSError as e:
            return e.strerror or str(e)
        return (data, url) if len(data) <= LARGEST_FILE else f"larger than {LARGEST_FILE >> 10} KiB"

    def final_url(self, url: str) -> str | None:
        return None


@dataclass(slots=True)
class _Search:
    """One search; ``tried`` are the places asked, with what came of it."""

    request: ImageRequest
    places: Places
    tried: list[str] = field(default_factory=list)

    def read(self, url: str) -> bytes | None:
        answer = self.places.read(url)
        if isinstance(answer, str):
            self.tried.append(f"{public(url)}: {answer}")
            return None
        return answer[0]

    def kinds(self) -> Sequence[str]:
        return ("sha512",) if self.request.checksum.type == "sha512" else ("sha256", "sha512")


def find_expected(request: ImageRequest, places: Places) -> Expected:
    """What ``request`` should bring, asking ``places`` only as far as needed.

    :raises InputError: nothing says so, or no signature is to be found though a keyring is given.
    :raises OvError: the server cannot be reached.
    """
    known = request.known_digest()
    keyring = request.checksum.keyring
    if keyring is not None and not keyring.is_file():
        raise InputError(
            f"the keyring {keyring} does not exist", hint="checksum.keyring is a file of OpenPGP public keys"
        )
    if keyring is None and known is not None:
        return Expected(*known)
    if keyring is None and request.checksum.type == "none":
        return Expected(None, NONE_ASKED)
    search = _Search(request, places)
    urls = [request.pin.final_url, request.url] if request.pin else [request.url]
    for url in dict.fromkeys(urls):
        if (found := _beside(search, url, None)) is not None:
            return _agreed(request, known, found)
    final = places.final_url(request.url)
    if final is not None and final not in urls and (found := _beside(search, final, request.url)) is not None:
        return _agreed(request, known, found)
    if keyring is not None:
        for url in dict.fromkeys(urls):
            if (signature := _signature_of(search, url)) is not None:
                digest, source = known or (None, NONE_ASKED)
                return Expected(digest, source, signature_url=signature[0], signature=signature[1])
    raise _nothing_found(request, search.tried)


def _agreed(request: ImageRequest, known: tuple[str, str] | None, found: Expected) -> Expected:
    """The signed checksum file must not contradict what is pinned; verify compares, so both must be of one kind."""
    if known is None or found.digest is None or known[0].partition(":")[0] != found.digest.partition(":")[0]:
        return found
    if known[0] != found.digest:
        raise InputError(
            f"{public(request.url)}: {known[1]} asks for {known[0]}, the signed {found.source} says {found.digest}",
            hint="the image has moved on, or one of them is wrong: ov lock --update, or change checksum.value",
        )
    return Expected(known[0], known[1], found.signed_url, found.signature_url, found.signed, found.signature)


def _beside(search: _Search, url: str, original: str | None) -> Expected | None:
    names = base_names(original, url)
    for candidate in _all_candidates(search, url):
        data = search.read(candidate.url)
        if data is None:
            continue
        text = data.decode(errors="replace")
        digest = find_digest(strip_armor(text), names, search.kinds(), own=candidate.own)
        if digest is None:
            search.tried.append(f"{public(candidate.url)}: no {' or '.join(search.kinds())} line for {names[0]}")
            continue
        if search.request.checksum.keyring is None:
            return Expected(digest, public(candidate.url))
        if is_clear_signed(text):
            return Expected(digest, public(candidate.url), signed_url=candidate.url, signed=data)
        if (signature := _signature_of(search, candidate.url)) is not None:
            return Expected(digest, public(candidate.url), candidate.url, signature[0], data, signature[1])
    return None


def _all_candidates(search: _Search, url: str) -> Iterator[Candidate]:
    """The fixed names, and then what the directory itself lists (Fedora names its file by the compose)."""
    fixed = candidates(url)
    yield from fixed
    directory = sibling(url, "")
    if (path := local_path(url)) is not None:
        found = [str(p) for p in sorted(path.parent.glob("*-CHECKSUM"))[:4]]
    else:
        answer = search.places.read(directory)
        if isinstance(answer, str):
            search.tried.append(f"{public(directory)} (to look for *-CHECKSUM): {answer}")
            return
        found = listed_checksum_files(answer[0].decode(errors="replace"), answer[1])
        if not found:
            search.tried.append(f"{public(directory)}: lists no *-CHECKSUM")
    known = {candidate.url for candidate in fixed}
    yield from (Candidate(link, False) for link in found if link not in known)


def _signature_of(search: _Search, url: str) -> tuple[str, bytes] | None:
    for suffix in SIGNATURE_SUFFIXES:
        place = beside(url, suffix)
        if (data := search.read(place)) is not None:
            return place, data
    return None


def _nothing_found(request: ImageRequest, tried: list[str]) -> InputError:
    places = "".join(f"\n  tried {line}" for line in tried)
    if request.checksum.keyring is not None:
        return InputError(
            f"no signed checksum file and no signature found for {public(request.url)}:{places}",
            hint="without checksum.keyring only the checksum is verified",
        )
    kind = request.checksum.type
    return InputError(
        f"no checksum found for {public(request.url)}:{places}",
        hint=f"pin it with checksum: {{type: {kind}, value: …}}, or allow it unverified with checksum: {{type: none}}",
    )


def places_for(request: ImageRequest) -> Places:
    """The web, with a new session, or this machine."""
    if request.local is not None:
        return LocalPlaces()
    from ovtasks.images.transport import open_session

    return WebPlaces(open_session())

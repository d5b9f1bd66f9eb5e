"""The digest that an image should have: from ``vms.yml``, ``ovtasks.lock`` or a checksum file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ovtasks.errors import InputError
from ovtasks.images import local
from ovtasks.images.checksums import (
    LARGEST_FILE,
    SIGNATURE_SUFFIXES,
    Candidate,
    base_names,
    beside,
    beside_url,
    candidates,
    checksum_files,
    decode,
    find_digest,
    is_clear_signed,
    listed_checksum_files,
    quoted,
    same_origin,
    sibling,
    strip_armor,
)
from ovtasks.images.http import StatusError
from ovtasks.images.request import ImageRequest, local_path, public
from ovtasks.values.urls import is_https

if TYPE_CHECKING:
    import requests

NONE_ASKED = "none asked"


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected ``digest`` (``type:hex`` or None) and its ``source``. With a keyring also the signed bytes,
    unverified.

    If there is a ``signature`` and ``signed`` is None, the image itself was signed.
    """

    digest: str | None
    source: str
    signed_url: str | None = None
    signature_url: str | None = None
    signed: bytes | None = None
    signature: bytes | None = None


class Places:
    """Reads checksum files: from the web, in one session, and from this machine."""

    def __init__(self) -> None:
        self._session: requests.Session | None = None

    @property
    def session(self) -> requests.Session:
        """The HTTP session, opened on first use."""
        if self._session is None:
            from ovtasks.images.http import open_session

            self._session = open_session()
        return self._session

    def read(self, url: str) -> tuple[bytes, str] | str:
        """A file's bytes and its final URL; or, as text, why there are none."""
        if (path := local_path(url)) is None:
            from ovtasks.images.http import get_small

            return get_small(self.session, url, LARGEST_FILE)
        try:
            with local.open_file(path) as file:
                data = file.read(LARGEST_FILE + 1)
        except InputError as e:
            reason = e.__cause__
            return (reason.strerror or "").lower() if isinstance(reason, OSError) else e.message
        return (data, url) if len(data) <= LARGEST_FILE else f"larger than {LARGEST_FILE >> 10} KiB"

    def locate(self, url: str) -> str:
        """The image's URL after redirects.

        :raises OvError: there is no image.
        """
        if (path := local_path(url)) is None:
            from ovtasks.images.http import locate

            return locate(self.session, url)
        local.open_file(path).close()
        return url if url.startswith("/") else path.as_uri()


@dataclass(slots=True)
class _Search:
    """One search. ``tried`` holds the places that were asked, and their answers."""

    request: ImageRequest
    places: Places
    tried: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def read(self, url: str) -> bytes | None:
        """The bytes at ``url``; None if there are none, or if it was asked before."""
        if url in self.asked:
            return None
        self.asked.add(url)
        answer = self.places.read(url)
        if isinstance(answer, str):
            self.tried.append(f"{public(url)}: {answer}")
            return None
        return answer[0]

    def digest(self, candidate: Candidate, data: bytes, names: Sequence[str]) -> str | None:
        """The digest that a checksum file gives for the image; None if it gives none."""
        found = find_digest(strip_armor(decode(data)), names, self.kinds(), own=candidate.own)
        if found is None:
            self.tried.append(f"{public(candidate.url)}: no {' or '.join(self.kinds())} line for {names[0]}")
        return found

    def kinds(self) -> Sequence[str]:
        return ("sha512",) if self.request.checksum.type == "sha512" else ("sha256", "sha512")


def find_expected(request: ImageRequest, places: Places) -> Expected:
    """What ``request`` should bring. ``places`` are asked only as far as needed.

    :raises InputError: no digest is found, or no signature although a keyring is given.
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
    _check_mirror(request)
    search = _Search(request, places)
    if request.checksum.url is not None:
        found = _in(
            search, [Candidate(request.at(beside_url(request.url, request.checksum.url)), True)], _names(request)
        )
        return _agreed(request, known, found or _nothing(search))
    urls = _urls(request, places)
    for url in urls:
        if (found := _in(search, _all_candidates(search, url), base_names(url, *urls))) is not None:
            return _agreed(request, known, found)
    if keyring is not None:
        for url in urls:
            if (signature := _signature_of(search, url)) is not None:
                digest, source = known or (None, NONE_ASKED)
                return Expected(digest, source, signature_url=signature[0], signature=signature[1])
    raise _nothing_found(request, search.tried)


def _urls(request: ImageRequest, places: Places) -> list[str]:
    """The image's URLs beside which checksum files may lie, the one that the user wrote first.

    If a plain http redirect led to another server, that server is not asked: whoever forged the redirect could answer.

    :raises OvError: there is no image.
    """
    pinned = request.usable_pin
    place = request.at(request.url)
    try:
        final = places.locate(place)
    except StatusError:
        if pinned is None:
            raise
        final = place
    url = place if request.local is None or request.url.startswith("/") else final
    asked = [request.at(pinned.final_url)] if pinned else []
    if is_https(final) or same_origin(final, url):
        return list(dict.fromkeys([*asked, url, final]))
    return list(dict.fromkeys([*asked, url]))


def _check_mirror(request: ImageRequest) -> None:
    """:raises InputError: nothing but https vouches for the image's checksum, and the mirror has none."""
    if request.checksum.keyring is None and is_https(request.url) and not is_https(request.at(request.url)):
        raise InputError(
            f"{public(request.at(request.url))}: the image is not signed, so its checksum has to come by https",
            hint="set images.mirror to an https address; an image that ovtasks.lock pins may come by http",
        )


def _nothing(search: _Search) -> Expected:
    """:raises InputError: always."""
    raise _nothing_found(search.request, search.tried)


def _names(request: ImageRequest) -> list[str]:
    return base_names(request.url, request.pin.final_url if request.pin else None)


def _agreed(request: ImageRequest, known: tuple[str, str] | None, found: Expected) -> Expected:
    """Add the pinned digest to the signed one.

    They must not differ, and must be of one kind so that verify can compare.
    """
    if known is None or found.digest is None or known[0].partition(":")[0] != found.digest.partition(":")[0]:
        return found
    if known[0] != found.digest:
        raise InputError(
            f"{public(request.url)}: {known[1]} asks for {known[0]}, the signed {found.source} says {found.digest}",
            hint="the image has moved on, or one of them is wrong: ov lock --update, or change checksum.value",
        )
    return Expected(known[0], known[1], found.signed_url, found.signature_url, found.signed, found.signature)


def _in(search: _Search, places: Iterable[Candidate], names: Sequence[str]) -> Expected | None:
    """The first of ``places`` that has a digest for one of ``names`` (and is signed, if there is a keyring)."""
    for candidate in places:
        data = search.read(candidate.url)
        if data is None:
            continue
        digest = search.digest(candidate, data, names)
        if digest is None:
            continue
        source = public(candidate.url)
        if search.request.checksum.keyring is None:
            return Expected(digest, source)
        if is_clear_signed(decode(data)):
            return Expected(digest, source, signed_url=candidate.url, signed=data)
        if (signature := _signature_of(search, candidate.url)) is not None:
            if not is_clear_signed(decode(signature[1])):
                return Expected(digest, source, candidate.url, signature[0], data, signature[1])
            if (digest := search.digest(candidate, signature[1], names)) is not None:  # the text that was really signed
                return Expected(digest, public(signature[0]), signed_url=signature[0], signed=signature[1])
    return None


def _all_candidates(search: _Search, url: str) -> Iterator[Candidate]:
    """The fixed names, then what the directory lists (Fedora names its checksum file after the compose)."""
    fixed = candidates(url)
    yield from fixed
    directory = sibling(url, "")
    if (path := local_path(url)) is not None:
        here = checksum_files(entry.name for entry in path.parent.iterdir())
        found = [sibling(url, quoted(url, name)) for name in here]
    else:
        answer = search.places.read(directory)
        if isinstance(answer, str):
            search.tried.append(f"{public(directory)} (to look for *CHECKSUM*, *SUMS): {answer}")
            return
        found = listed_checksum_files(answer[0].decode(errors="replace"), answer[1])
        if not found:
            search.tried.append(f"{public(directory)}: lists no *CHECKSUM* and no *SUMS")
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

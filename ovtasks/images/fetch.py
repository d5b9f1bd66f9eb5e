"""Fetching an image: find out what it should be, see whether it is here, else bring it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import recall
from ovtasks.images import local
from ovtasks.images.download import Facts, download
from ovtasks.images.expected import NONE_ASKED, Expected, Places, WebPlaces, find_expected, places_for
from ovtasks.images.intake import Digests, Intake
from ovtasks.images.records import Fetched, record_text
from ovtasks.images.request import FROM_LOCK, FROM_SPEC, ImageRequest, public
from ovtasks.images.store import Store, StoreFullError
from ovtasks.images.transport import StatusError
from ovtasks.images.unpack import UnpackError

__all__ = ["Fetched", "fetch", "fetch_locked", "hold", "revalidate"]


def fetch(request: ImageRequest, progress: Progress) -> Fetched:
    """Make the bytes of ``request`` available: in the store, or beside it, hashed and unpacked, for ``verify``.

    A request that was fetched before is answered from the index without any network; so is one whose digest is
    known (``checksum.value``, ``ovtasks.lock``) and whose bytes are in the store, whatever URL they came from.

    :raises InputError: the URL, the path or the checksum is wrong, or no checksum is to be found.
    :raises OvError: the network, the server or the disk failed; a partial download is kept for the next run.
    """
    store = Store(request.store)
    if (known := load_fetched(store, request.key)) is not None:
        return known
    with hold(request, progress):
        return fetch_locked(request, progress)


@contextlib.contextmanager
def hold(request: ImageRequest, progress: Progress) -> Iterator[None]:
    """The lock of one request; a wait says for whom."""

    def waiting(holder: str) -> None:
        progress.note(f"waiting for {holder}, which works on {public(request.url)}")

    with Store(request.store).lock(request.key, waiting=waiting):
        yield


def load_fetched(store: Store, key: str) -> Fetched | None:
    """What the index says about a request, if the bytes are still here."""
    record = recall(store.index(key))
    if record is None:
        return None
    try:
        fetched = Fetched.from_json(record)
    except (ValueError, TypeError):
        return None
    return fetched if has_bytes(store, key, fetched) else None


def has_bytes(store: Store, key: str, fetched: Fetched) -> bool:
    """Whether the content is in the store, or waits beside it to be verified."""
    if store.has(fetched.content_sha256, fetched.content_size):
        return True
    if store.resume_state(key).exists() or _size(store.part(key)) != fetched.size:
        return False  # a partial file of another download may have the same length
    return fetched.compression is None or _size(store.raw_part(key)) == fetched.content_size


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def fetch_locked(request: ImageRequest, progress: Progress) -> Fetched:
    """:func:`fetch`, for a caller that holds the request's lock."""
    store = Store(request.store)
    if (known := load_fetched(store, request.key)) is not None:
        return known
    places = places_for(request)
    expected = find_expected(request, places)
    fetched = _find_here(store, request, expected)
    if fetched is None:
        fetched = _bring(store, request, expected, places, progress)
        assert fetched is not None  # nothing conditional was asked
        fetched, expected = _second_look(request, fetched, expected, places)
    _remember(store, request, fetched, expected)
    return fetched


def revalidate(request: ImageRequest, fetched: Fetched, progress: Progress) -> Fetched:
    """Ask again what the URL stands for now: the checksum file, then a conditional request.

    Unchanged content gives a record with the same ``sha256``; changed content is fetched like new. When this fails,
    what was fetched before stays as it is.

    :raises InputError: as :func:`fetch`. :raises OvError: as :func:`fetch`.
    """
    store = Store(request.store)
    with hold(request, progress):
        here = has_bytes(store, request.key, fetched)
        if request.known_digest() is not None and request.checksum.keyring is None:
            return fetched if here else fetch_locked(request, progress)
        places = places_for(request)
        expected = find_expected(request, places)
        fresh = None
        if not here or not (expected.digest and fetched.matches(expected.digest)):
            fresh = _find_here(store, request, expected) if expected.digest else None
            comparable = expected.digest is None or fetched.matches(expected.digest) is not None
            before = fetched if here and comparable else None  # what cannot be compared must come again
            fresh = fresh or _bring(store, request, expected, places, progress, before=before)
        fresh = fresh or replace(_for_request(fetched, request, expected), fetched_at=_now())
        fresh, expected = _second_look(request, fresh, expected, places)
        if fresh.sha256 == fetched.sha256:
            _still_the_same(store, request, fresh)
        _remember(store, request, fresh, expected)
        return fresh


def _still_the_same(store: Store, request: ImageRequest, fetched: Fetched) -> None:
    """After a refresh nothing else runs when the bytes are as before: what ``verify`` would do is done here."""
    if fetched.expected is not None and fetched.matches(fetched.expected) is False:
        raise OvError(
            f"{public(request.url)} is what it was (sha256:{fetched.sha256}),"
            f" but {fetched.expected_from} now asks for {fetched.expected}",
            hint="the server is being updated: try again later; without --refresh the old image is used",
        )
    if store.has(fetched.content_sha256) and store.verified_index(request.key).exists():
        store.drop_parts(request.key)


def _find_here(store: Store, request: ImageRequest, expected: Expected) -> Fetched | None:
    """The bytes that are wanted, when they are in the store already, whoever fetched them."""
    digests = wanted_digests(request, expected.digest)
    for fetched in indexed(store):
        wanted = all(fetched.matches(digest) for digest in digests) if digests else fetched.url == public(request.url)
        if wanted and store.has(fetched.content_sha256, fetched.content_size):
            return _for_request(fetched, request, expected)
    kind, _, value = (expected.digest or "").partition(":")
    if kind != "sha256" or len(digests) > 1 or (size := _size(store.path(value))) is None:
        return None
    found = Fetched(
        url=public(request.url),
        final_url=public(request.url),
        size=size,
        sha256=value,
        content_sha256=value,
        content_size=size,
        fetched_at=_now(),
        expected_from=expected.source,
    )
    return _for_request(found, request, expected)


def wanted_digests(request: ImageRequest, expected: str | None) -> list[str]:
    """All that the bytes must match: what ``vms.yml`` or the lock file says, and what a signed checksum file says."""
    known = request.known_digest()
    return list(dict.fromkeys(digest for digest in (known[0] if known else None, expected) if digest))


def indexed(store: Store) -> list[Fetched]:
    """All records of the index, the newest first."""
    found = []
    for path in (store.root / "by-url").glob("*.json"):
        if not path.name.endswith(".verified.json") and (record := recall(path)) is not None:
            with contextlib.suppress(ValueError, TypeError):
                found.append(Fetched.from_json(record))
    return sorted(found, key=lambda fetched: fetched.fetched_at, reverse=True)


def _for_request(fetched: Fetched, request: ImageRequest, expected: Expected) -> Fetched:
    url = public(request.url)
    if fetched.url != url:  # the same bytes from elsewhere: what that server said of them is not what this one says
        fetched = replace(fetched, url=url, final_url=url, etag=None, last_modified=None)
    return replace(
        fetched,
        expected=expected.digest,
        expected_from=expected.source,
        signed_url=expected.signed_url,
        signature_url=expected.signature_url,
    )


def _bring(
    store: Store,
    request: ImageRequest,
    expected: Expected,
    places: Places,
    progress: Progress,
    *,
    before: Fetched | None = None,
) -> Fetched | None:
    """Download or copy; None when the source says that it is still what it was ``before``."""
    key = request.key
    with store.guard(f"fetch {public(request.url)}"):
        store.part(key).parent.mkdir(parents=True, exist_ok=True)
    sha512 = any(digest.startswith("sha512:") for digest in wanted_digests(request, expected.digest))
    intake = Intake(store.part(key), store.raw_part(key), sha512=sha512)
    try:
        with store.guard(f"fetch {public(request.url)}"):
            secure = not wanted_digests(request, expected.digest)
            facts = _transfer(store, request, intake, places, progress, before, secure)
            if facts is None:
                return None
            digests = intake.finish()
        if digests.size == 0:
            raise _BadBytesError(f"{public(request.url)} is empty", hint="the file is broken where it comes from")
    except (StoreFullError, UnpackError, _BadBytesError) as e:
        intake.discard()
        store.resume_state(key).unlink(missing_ok=True)
        if isinstance(e, UnpackError):
            raise OvError(f"{public(request.url)}: {e.message}", hint=e.hint) from e
        raise
    finally:
        intake.close()
    return _record(request, facts, digests, expected)


def _second_look(
    request: ImageRequest, fetched: Fetched, expected: Expected, places: Places
) -> tuple[Fetched, Expected]:
    """A checksum file that contradicts may have been replaced together with the image while that was downloaded."""
    from_file = expected.source not in {FROM_SPEC, FROM_LOCK, NONE_ASKED}
    if from_file and expected.digest and fetched.matches(expected.digest) is False:
        again = find_expected(request, places)
        if again.digest and fetched.matches(again.digest):
            return _for_request(fetched, request, again), again
    return fetched, expected


def _remember(store: Store, request: ImageRequest, fetched: Fetched, expected: Expected) -> None:
    key = request.key
    with store.guard("write the index of the image store"):
        for path, data in zip(store.evidence(key), (expected.signed, expected.signature), strict=True):
            if data is None:
                path.unlink(missing_ok=True)
            else:
                write_atomic(path, data, mode=0o600)
        write_atomic(store.index(key), record_text(fetched.to_json()), mode=0o600)
        store.resume_state(key).unlink(missing_ok=True)  # last: while it is there, nobody trusts the partial file


class _BadBytesError(OvError):
    """What arrived is of no use; it has been removed."""


def _transfer(
    store: Store,
    request: ImageRequest,
    intake: Intake,
    places: Places,
    progress: Progress,
    before: Fetched | None,
    secure: bool,
) -> Facts | None:
    state = store.resume_state(request.key)
    if (path := request.local) is not None:
        return local.copy(request.url, path, intake, state, progress, unless=before.etag if before else None)
    assert isinstance(places, WebPlaces)
    unless = _conditions(before)
    if request.pin is not None and request.pin.final_url != request.url:
        try:
            return download(places.session, request.pin.final_url, intake, state, progress, unless=unless)
        except StatusError as e:
            progress.note(f"{e.message}; trying {public(request.url)}")
    return download(places.session, request.url, intake, state, progress, unless=unless, secure=secure)


def _conditions(before: Fetched | None) -> dict[str, str] | None:
    """RFC 9110 §13.1: the headers that ask for the body only if it changed."""
    if before is None:
        return None
    headers = {"If-None-Match": before.etag, "If-Modified-Since": before.last_modified}
    return {name: value for name, value in headers.items() if value} or None


def _record(request: ImageRequest, facts: Facts, digests: Digests, expected: Expected) -> Fetched:
    return Fetched(
        url=public(request.url),
        final_url=public(facts.final_url),
        size=digests.size,
        sha256=digests.sha256,
        content_sha256=digests.content_sha256,
        content_size=digests.content_size,
        fetched_at=_now(),
        expected_from=expected.source,
        expected=expected.digest,
        etag=facts.etag,
        last_modified=facts.last_modified,
        sha512=digests.sha512,
        compression=digests.compression,
        signed_url=expected.signed_url,
        signature_url=expected.signature_url,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

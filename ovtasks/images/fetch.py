"""Fetches an image: finds out what it should be, looks whether it is here, else brings it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import StateError, read_state, try_load_state
from ovtasks.images.bring import bring, now
from ovtasks.images.examine import Evidence, examine, findings, wanted_digests
from ovtasks.images.expected import NONE_ASKED, Expected, Places, find_expected
from ovtasks.images.inspection import UnfitError
from ovtasks.images.keyring import with_keyring
from ovtasks.images.provenance import Fetched
from ovtasks.images.request import FROM_LOCK, FROM_SPEC, ImageRequest, public
from ovtasks.images.signature import SignatureError
from ovtasks.images.store import Store
from ovtasks.values.jsonvalue import state_text

__all__ = ["Fetched", "fetch", "fetch_locked", "lock_request", "revalidate"]


def fetch(request: ImageRequest, progress: Progress) -> Fetched:
    """Make the bytes of ``request`` available for ``verify``: in the store or beside it, unpacked and examined.

    A request that was fetched before is answered from the index, without the network. So is one whose digest is known
    (``checksum.value``, ``ovtasks.lock``) and whose bytes are in the store, whatever URL they came from.

    :raises InputError: the URL, the path or the checksum is wrong, or no checksum was found.
    :raises UnfitError: what came cannot be used (wrong digest, not a usable image); nothing of it is kept.
    :raises OvError: the network, the server or the disk failed; a partial download is kept for the next run.
    """
    request = with_keyring(request)
    with lock_request(request, progress):
        return fetch_locked(request, progress)


@contextlib.contextmanager
def lock_request(request: ImageRequest, progress: Progress) -> Iterator[None]:
    """Hold the lock of one request. If we must wait, a line says for whom."""

    def waiting(holder: str) -> None:
        progress.note(f"waiting for {holder}, which works on {public(request.url)}")

    with Store(request.store).lock(request.key, waiting=waiting):
        yield


def load_fetched(store: Store, key: str) -> Fetched | None:
    """What the index says about a request; None if the bytes are gone."""
    noted = try_load_state(store.index(key))
    if noted is None:
        return None
    try:
        fetched = Fetched.from_json(noted)
    except (ValueError, TypeError):
        return None
    return fetched if has_bytes(store, key, fetched) else None


def has_bytes(store: Store, key: str, fetched: Fetched) -> bool:
    """Whether the content is in the store or beside it. If its stat changed, it is read again."""
    if store.sound(fetched.content_sha256, fetched.content_size):
        return True
    if store.resume_state(key).exists():
        return False  # a partial file of another download may have the same length
    if not store.sound_part(key, store.part(key), fetched.sha256):
        return False
    return fetched.compression is None or store.sound_part(key, store.raw_part(key), fetched.content_sha256)


def drop(store: Store, key: str) -> None:
    """Forget the bytes of a request, and the provenance that leads to them."""
    store.index(key).unlink(missing_ok=True)
    store.verified_index(key).unlink(missing_ok=True)
    store.drop_parts(key)


def fetch_locked(request: ImageRequest, progress: Progress) -> Fetched:
    """:func:`fetch`, for a caller that holds the request's lock."""
    store = Store(request.store)
    known = load_fetched(store, request.key)
    if known is not None:
        if findings(store, request, known) is not None:
            return known
        try:
            return _settle(store, request, known, Evidence(*read_evidence(store, request.key)))
        except (UnfitError, SignatureError) as e:  # of an earlier run; by now the server may be right
            progress.note(f"{e.message.splitlines()[0]}: asking again")
            known = None if isinstance(e, UnfitError) else known
    places = Places()
    expected = find_expected(request, places)
    for found in _here(store, request, expected, known):
        with contextlib.suppress(UnfitError):
            return _settle(store, request, found, expected)
    fetched = bring(store, request, expected, places, progress)
    assert fetched is not None  # the request was not conditional
    return _settle(store, request, *_second_look(request, fetched, expected, places))


def _here(store: Store, request: ImageRequest, expected: Expected, known: Fetched | None) -> Iterator[Fetched]:
    """Bytes on this machine that may be the wanted ones: those of an earlier run, then those of the store."""
    if known is not None and all(known.matches(d) for d in wanted_digests(request, expected.digest)):
        yield _for_request(known, request, expected)
    if (found := _find_here(store, request, expected)) is not None:
        yield found


def _settle(store: Store, request: ImageRequest, fetched: Fetched, proof: Expected | Evidence) -> Fetched:
    """Examine the bytes and note the result. Refused bytes are removed, with all that was noted of them.

    If no verdict is possible yet (a program is missing, the keyring or the signature is wrong), the bytes stay for the
    next run.

    :raises UnfitError, OvError: as :func:`ovtasks.images.examine.examine`.
    """
    try:
        verified = examine(store, request, fetched, Evidence(proof.signed, proof.signature))
    except UnfitError:
        store.drop_parts(request.key)
        if (old := try_load_state(store.index(request.key))) is not None and old.get("sha256") == fetched.sha256:
            drop(store, request.key)
        raise
    except OvError:
        _remember(store, request, fetched, proof)
        raise
    with store.guard("write the index of the image store"):
        write_atomic(store.verified_index(request.key), state_text(verified.to_json()), mode=0o600)
    _remember(store, request, fetched, proof)
    return fetched


def read_evidence(store: Store, key: str) -> tuple[bytes | None, bytes | None]:
    """The signed bytes and the signature, as they came with a request."""

    def read(path: Path) -> bytes | None:
        try:
            return read_state(path)
        except (StateError, UnsafeError):
            return None

    signed, signature = store.evidence(key)
    return read(signed), read(signature)


def revalidate(request: ImageRequest, fetched: Fetched, progress: Progress) -> Fetched:
    """Ask what the URL stands for now: the checksum file first, then a conditional request.

    Unchanged content has the same ``sha256``; changed content is fetched like new. If this fails, what was fetched
    before stays.

    :raises InputError: as :func:`fetch`. :raises OvError: as :func:`fetch`.
    """
    request = with_keyring(request, refresh=True)
    store = Store(request.store)
    with lock_request(request, progress):
        here = has_bytes(store, request.key, fetched)
        if request.known_digest() is not None and request.checksum.keyring is None:
            return fetched if here else fetch_locked(request, progress)
        places = Places()
        expected = find_expected(request, places)
        fresh = None
        if not here or not (expected.digest and fetched.matches(expected.digest)):
            fresh = _find_here(store, request, expected) if expected.digest else None
            comparable = expected.digest is None or fetched.matches(expected.digest) is not None
            before = fetched if here and comparable else None  # what cannot be compared is fetched again
            fresh = fresh or bring(store, request, expected, places, progress, before=before)
        fresh = fresh or replace(_for_request(fetched, request, expected), fetched_at=now())
        fresh, expected = _second_look(request, fresh, expected, places)
        if fresh.sha256 == fetched.sha256:
            _still_the_same(store, request, fresh)
        return _settle(store, request, fresh, expected)


def _still_the_same(store: Store, request: ImageRequest, fetched: Fetched) -> None:
    """Do what ``verify`` would do: after a refresh that brings the same bytes, no other step runs."""
    if fetched.expected is not None and fetched.matches(fetched.expected) is False:
        raise OvError(
            f"{public(request.url)} is what it was (sha256:{fetched.sha256}),"
            f" but {fetched.expected_from} now asks for {fetched.expected}",
            hint="the server is being updated: try again later; without --refresh the old image is used",
        )
    if store.has(fetched.content_sha256) and store.verified_index(request.key).exists():
        store.drop_parts(request.key)


def _find_here(store: Store, request: ImageRequest, expected: Expected) -> Fetched | None:
    """The wanted bytes, if they are in the store already, whoever fetched them."""
    digests = wanted_digests(request, expected.digest)
    for fetched in indexed(store):
        wanted = all(fetched.matches(digest) for digest in digests) if digests else fetched.url == public(request.url)
        if wanted and store.sound(fetched.content_sha256, fetched.content_size):
            return _for_request(fetched, request, expected)
    kind, _, value = (expected.digest or "").partition(":")
    if kind != "sha256" or len(digests) > 1 or not store.sound(value):
        return None
    size = store.path(value).stat().st_size
    found = Fetched(
        url=public(request.url),
        final_url=public(request.url),
        size=size,
        sha256=value,
        content_sha256=value,
        content_size=size,
        fetched_at=now(),
        expected_from=expected.source,
    )
    return _for_request(found, request, expected)


def indexed(store: Store) -> list[Fetched]:
    """All provenance in the index, the newest first."""
    found = []
    for path in (store.root / "by-url").glob("*.json"):
        if not path.name.endswith(".verified.json") and (noted := try_load_state(path)) is not None:
            with contextlib.suppress(ValueError, TypeError):
                found.append(Fetched.from_json(noted))
    return sorted(found, key=lambda fetched: fetched.fetched_at, reverse=True)


def _for_request(fetched: Fetched, request: ImageRequest, expected: Expected) -> Fetched:
    url = public(request.url)
    if fetched.url != url:  # the same bytes from another URL: what that server said about them does not hold here
        fetched = replace(fetched, url=url, final_url=url, etag=None, last_modified=None)
    return replace(
        fetched,
        expected=expected.digest,
        expected_from=expected.source,
        signed_url=expected.signed_url,
        signature_url=expected.signature_url,
    )


def _second_look(
    request: ImageRequest, fetched: Fetched, expected: Expected, places: Places
) -> tuple[Fetched, Expected]:
    """Read a checksum file again that contradicts: it may have been replaced with the image during the download."""
    from_file = expected.source not in {FROM_SPEC, FROM_LOCK, NONE_ASKED}
    if from_file and expected.digest and fetched.matches(expected.digest) is False:
        again = find_expected(request, places)
        if again.digest and fetched.matches(again.digest):
            return _for_request(fetched, request, again), again
    return fetched, expected


def _remember(store: Store, request: ImageRequest, fetched: Fetched, proof: Expected | Evidence) -> None:
    key = request.key
    with store.guard("write the index of the image store"):
        for path, data in zip(store.evidence(key), (proof.signed, proof.signature), strict=True):
            if data is None:
                path.unlink(missing_ok=True)
            else:
                write_atomic(path, data, mode=0o600)
        if not store.has(fetched.content_sha256):
            store.note_parts(key)
        write_atomic(store.index(key), state_text(fetched.to_json()), mode=0o600)
        store.resume_state(key).unlink(missing_ok=True)  # last: as long as it exists, nobody trusts the partial file

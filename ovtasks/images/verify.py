"""From fetched bytes to a file of the store: digest, signature, format, and the one rename that gives a final name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import recall
from ovtasks.images import signature
from ovtasks.images.checksums import base_names, find_digest, is_clear_signed
from ovtasks.images.expected import NONE_ASKED
from ovtasks.images.fetch import fetch_locked, has_bytes, hold, wanted_digests
from ovtasks.images.inspection import ImageError, inspect
from ovtasks.images.records import Fetched, Verified, record_text
from ovtasks.images.request import FROM_LOCK, ImageRequest, public
from ovtasks.images.store import Store

__all__ = ["Verified", "verify"]

ONLY_CHECKSUM = "only the checksum was verified, no signature (checksum.keyring is not set)"
HINT_DIGEST = "the download is damaged, the image has moved on, or somebody changed it: ask the publisher's page"
HINT_LOCK = "the URL has other bytes than are pinned: ov lock --update takes them"
NOTHING_VERIFIED = "nothing was verified: checksum.type is none"


def verify(request: ImageRequest, fetched: Fetched, progress: Progress) -> Verified:
    """Check what was fetched and put it into the store; again: say the same without looking twice.

    Bytes that are gone meanwhile are fetched again.

    :raises OvError: wrong digest (both are shown, the bad file is removed), bad signature, the server has other bytes
        by now, the store cannot be written. :raises ImageError: not a usable image.
    """
    store = Store(request.store)
    with hold(request, progress):
        keyring = request.checksum.keyring
        keys = signature.keyring_sha256(keyring) if keyring is not None else None
        if (known := _known(store, request, fetched, keys)) is not None:
            return known
        if not has_bytes(store, request.key, fetched):
            fetched = _fetch_again(request, fetched, progress)
        stored = store.has(fetched.content_sha256, fetched.content_size)
        _compare(store, request, fetched, stored=stored)
        signer = _check_signature(store, request, fetched, progress) if keyring is not None else None
        content = store.path(fetched.content_sha256) if stored else _content_part(store, request, fetched)
        try:
            inspected = inspect(content, public(request.url))
        except ImageError as e:
            if not stored:
                _remove(store, request)
                raise ImageError(f"{e.message}; the file was removed", hint=e.hint) from e
            raise
        final = store.add(content, fetched.content_sha256) if not stored else content
        store.drop_parts(request.key)
        verified = Verified(
            sha256=fetched.content_sha256,
            path=final,
            format=inspected.format,
            virtual_size=inspected.virtual_size,
            expected_from=fetched.expected_from,
            source_sha256=fetched.sha256,
            signer=signer,
            keyring_sha256=keys,
            notes=_notes(fetched, signer),
        )
        with store.guard("write the index of the image store"):
            write_atomic(store.verified_index(request.key), record_text(verified.to_json()), mode=0o600)
        return verified


def _known(store: Store, request: ImageRequest, fetched: Fetched, keys: str | None) -> Verified | None:
    """What an earlier run found out about exactly these bytes, under the same keyring."""
    path = store.verified_index(request.key)
    record = recall(path)
    if record is None:
        return None
    try:
        verified = Verified.from_json(record)
    except (ValueError, TypeError, KeyError):
        return None
    same = verified.source_sha256 == fetched.sha256 and verified.sha256 == fetched.content_sha256
    if not all(fetched.matches(digest) for digest in wanted_digests(request, fetched.expected)):
        return None
    if not same or verified.keyring_sha256 != keys or verified.path != store.path(verified.sha256):
        return None
    if not store.has(verified.sha256, fetched.content_size):
        return None
    with contextlib.suppress(PermissionError):  # another user's store
        os.utime(path)  # gc sees that it is about to be used
    return verified


def _fetch_again(request: ImageRequest, fetched: Fetched, progress: Progress) -> Fetched:
    progress.note(f"{public(request.url)} is no longer in the store: fetching it again")
    again = fetch_locked(request, progress)
    if again.sha256 != fetched.sha256:
        raise OvError(
            f"{public(request.url)} brings other bytes than when it was fetched"
            f" (sha256 {fetched.sha256} then, {again.sha256} now), and the old ones are gone",
            hint="build with --refresh to take the new image",
        )
    return again


def _compare(store: Store, request: ImageRequest, fetched: Fetched, *, stored: bool) -> None:
    wrong = [digest for digest in wanted_digests(request, fetched.expected) if not fetched.matches(digest)]
    if not wrong:
        return
    kind = wrong[0].partition(":")[0]
    known = request.known_digest()
    source = known[1] if known and known[0] == wrong[0] else fetched.expected_from
    actual = fetched.sha512 if kind == "sha512" else fetched.sha256
    if not stored:
        _remove(store, request)
    else:
        store.index(request.key).unlink(missing_ok=True)
    raise OvError(
        f"{public(request.url)} has the wrong digest:\n"
        f"  expected {wrong[0]} (from {source})\n"
        f"  got      {kind}:{actual or 'not computed'}\n"
        + ("the bad file was removed" if not stored else "it is not used"),
        hint=HINT_LOCK if fetched.expected_from == FROM_LOCK else HINT_DIGEST,
    )


def _check_signature(store: Store, request: ImageRequest, fetched: Fetched, progress: Progress) -> str:
    """The signer's name; the digest that counts is the one in the text that was really signed."""
    keyring = request.checksum.keyring
    assert keyring is not None
    signed, detached = store.evidence(request.key)
    if not signed.is_file() and not detached.is_file():
        raise OvError(f"the signature of {public(request.url)} is gone from the store", hint="build with --refresh")
    if not signed.is_file():  # the image itself, as downloaded, is what was signed
        part = store.part(request.key)
        image = part if part.is_file() else store.path(fetched.sha256)
        if not image.is_file():
            raise OvError(
                f"{public(request.url)} was unpacked: its signature can no longer be checked",
                hint=f"remove {store.index(request.key)} and build again",
            )
        return signature.check(keyring, image, detached, public(request.url)).signer
    shown = public(fetched.signed_url or request.url)
    result = signature.check(keyring, signed, detached if detached.is_file() else None, shown)
    text = result.text if result.text is not None else signed.read_text(encoding="utf-8", errors="replace")
    names = base_names(request.url, fetched.final_url)
    own = (fetched.signed_url or "").rpartition("/")[2].startswith(names[0])
    kinds = [(fetched.expected or "sha256:").partition(":")[0]]
    if is_clear_signed(text) or find_digest(text, names, kinds, own=own) != fetched.expected:
        raise OvError(f"{shown}: the signed text does not say {fetched.expected}", hint="build with --refresh")
    return result.signer


def _content_part(store: Store, request: ImageRequest, fetched: Fetched) -> Path:
    return store.part(request.key) if fetched.compression is None else store.raw_part(request.key)


def _remove(store: Store, request: ImageRequest) -> None:
    """Bad bytes, and the record that would present them again."""
    store.drop_parts(request.key)
    store.index(request.key).unlink(missing_ok=True)
    store.verified_index(request.key).unlink(missing_ok=True)


def _notes(fetched: Fetched, signer: str | None) -> tuple[str, ...]:
    if signer is not None:
        return (f"signed by {signer}",)
    return (NOTHING_VERIFIED,) if fetched.expected_from == NONE_ASKED else (ONLY_CHECKSUM,)

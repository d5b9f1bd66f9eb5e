"""Puts fetched bytes into the store: what passed the checks gets its final name by one rename."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.images.examine import Evidence, content_of, examine, findings
from ovtasks.images.fetch import drop, fetch_locked, has_bytes, lock_request, read_evidence
from ovtasks.images.inspection import UnfitError
from ovtasks.images.keyring import with_keyring
from ovtasks.images.provenance import Fetched, Verified
from ovtasks.images.request import ImageRequest, public
from ovtasks.images.store import Store
from ovtasks.values.jsonvalue import state_text

__all__ = ["Verified", "verify"]


def verify(
    request: ImageRequest,
    fetched: Fetched,
    progress: Progress,
    *,
    settled: bool = True,
    copies: Iterable[Path] = (),
) -> Verified:
    """Put what was fetched into the store. Called again, it answers from what it noted.

    If the bytes are gone or damaged, they are taken from ``copies`` (files that may hold the same content; each is read
    and compared), else fetched again. ``settled``: the caller has built from exactly these bytes, so no others will do.
    Otherwise what the URL has now is as good, and ``source_sha256`` tells which bytes they were.

    :raises UnfitError: wrong digest, or not a usable image; nothing of it is kept. :raises SignatureError: the
        signature is bad. :raises OvError: the server has other bytes now, or the store cannot be written.
    """
    request = with_keyring(request)
    store = Store(request.store)
    with lock_request(request, progress):
        known = findings(store, request, fetched)
        if known is not None and store.sound(known.sha256, fetched.content_size):
            with contextlib.suppress(OSError):  # the store may be another user's
                os.utime(store.verified_index(request.key))  # tells gc that it is about to be used
            return known
        if not has_bytes(store, request.key, fetched) and not _from_a_copy(store, fetched, copies, progress):
            fetched = _fetch_again(store, request, fetched, progress, settled=settled)
        try:
            verified = _examined(store, request, fetched)
        except UnfitError as e:
            if settled:
                raise
            progress.note(f"{e.message.splitlines()[0]}: the file of an earlier build is dropped; fetching it again")
            fetched = fetch_locked(request, progress)
            verified = _examined(store, request, fetched)
        if not store.has(verified.sha256):
            store.add(content_of(store, request, fetched), verified.sha256)
        store.drop_parts(request.key)
        with store.guard("write the index of the image store"):
            write_atomic(store.verified_index(request.key), state_text(verified.to_json()), mode=0o600)
        return verified


def _examined(store: Store, request: ImageRequest, fetched: Fetched) -> Verified:
    """Examine the bytes and put them into the store.

    :raises UnfitError: the bytes cannot be used; they and their provenance are removed.
    """
    try:
        evidence = Evidence(*read_evidence(store, request.key))
        return findings(store, request, fetched) or examine(store, request, fetched, evidence)
    except UnfitError:
        drop(store, request.key)
        raise


def _from_a_copy(store: Store, fetched: Fetched, copies: Iterable[Path], progress: Progress) -> bool:
    """Put the content into the store from one of ``copies``; returns whether one had it."""
    for path in copies:
        if store.adopt(path, fetched.content_sha256, fetched.content_size):
            progress.note(f"the image store had lost sha256:{fetched.content_sha256[:12]}…: taken from {path}")
            return True
    return False


def _fetch_again(
    store: Store, request: ImageRequest, fetched: Fetched, progress: Progress, *, settled: bool
) -> Fetched:
    progress.note(f"the image store no longer has a good copy of {public(request.url)}: fetching it again")
    again = fetch_locked(request, progress)
    if settled and again.sha256 != fetched.sha256:
        drop(store, request.key)
        raise OvError(
            f"{public(request.url)} brings other bytes than when it was fetched"
            f" (sha256 {fetched.sha256} then, {again.sha256} now), and the old ones are gone",
            hint="build with --refresh to take the new image",
        )
    return again

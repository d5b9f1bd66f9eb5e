"""Brings an image's bytes here, in one pass that also hashes and unpacks them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from ovtasks.host.progress import Progress
from ovtasks.images import local
from ovtasks.images.download import Facts, download
from ovtasks.images.examine import wanted_digests
from ovtasks.images.expected import Expected, Places
from ovtasks.images.http import StatusError
from ovtasks.images.inspection import UnfitError
from ovtasks.images.intake import Digests, Intake
from ovtasks.images.provenance import Fetched
from ovtasks.images.request import ImageRequest, base_name, public
from ovtasks.images.store import Store, StoreFullError
from ovtasks.images.unpack import UnpackError


def bring(
    store: Store,
    request: ImageRequest,
    expected: Expected,
    places: Places,
    progress: Progress,
    *,
    before: Fetched | None = None,
) -> Fetched | None:
    """Download or copy; None if the source says that nothing changed since ``before``.

    If a resumed download has the wrong digest, it starts once more from the beginning: the earlier part may be wrong.

    :raises UnfitError: the file is empty, or its compressed data is damaged; nothing of it is kept.
    :raises OvError: the network, the server or the disk failed.
    """
    key = request.key
    with store.guard(f"fetch {public(request.url)}"):
        store.part(key).parent.mkdir(parents=True, exist_ok=True)
    wanted = wanted_digests(request, expected.digest)

    def once() -> tuple[Fetched | None, bool]:
        intake = Intake(store.part(key), store.raw_part(key), sha512=any(d.startswith("sha512:") for d in wanted))
        try:
            fetched = _take(store, request, expected, intake, places, progress, before)
        except UnfitError:
            if intake.resumed:
                return None, True
            raise
        return fetched, intake.resumed and fetched is not None and not all(fetched.matches(d) for d in wanted)

    fetched, wrong = once()
    if wrong:
        progress.note(f"{public(request.url)}: the resumed download is wrong; starting over")
        store.drop_parts(key)
        fetched, _ = once()
    return fetched


def _take(
    store: Store,
    request: ImageRequest,
    expected: Expected,
    intake: Intake,
    places: Places,
    progress: Progress,
    before: Fetched | None,
) -> Fetched | None:
    shown = public(request.url)
    try:
        with store.guard(f"fetch {shown}"):
            facts = _transfer(store, request, intake, places, progress, before)
            if facts is None:
                return None
            digests = intake.finish()
        if digests.size == 0:
            raise UnfitError(f"{shown} is empty", hint="the file is damaged on the server")
    except (StoreFullError, UnpackError, UnfitError) as e:
        intake.discard()
        store.resume_state(request.key).unlink(missing_ok=True)
        if isinstance(e, UnpackError):
            raise UnfitError(f"{shown}: {e.message}", hint=e.hint) from e
        raise
    finally:
        intake.close()
    if facts.packed and digests.compression is not None:
        digests = _unwrapped(store, request, facts, digests, wanted_digests(request, expected.digest))
    return _provenance(request, facts, digests, expected)


def _unwrapped(store: Store, request: ImageRequest, facts: Facts, digests: Digests, wanted: list[str]) -> Digests:
    """Unpack a body that came in a Content-Encoding nobody asked for, if the file inside is what is wanted.

    Some servers send that header for a file that is compressed itself. Then its digest tells, or else its name.
    """
    content = replace(
        digests,
        size=digests.content_size,
        sha256=digests.content_sha256,
        sha512=digests.content_sha512,
        compression=None,
    )
    if wanted:
        is_file = all(_provenance(request, facts, digests, None).matches(digest) for digest in wanted)
    else:
        is_file = base_name(request.url).endswith(f".{digests.compression}")
    if is_file:
        return digests
    store.raw_part(request.key).replace(store.part(request.key))
    return content


def _transfer(
    store: Store,
    request: ImageRequest,
    intake: Intake,
    places: Places,
    progress: Progress,
    before: Fetched | None,
) -> Facts | None:
    state = store.resume_state(request.key)
    if (path := request.local) is not None:
        return local.copy(request.url, path, intake, state, progress, unless=before.etag if before else None)
    unless = _conditions(before)
    if (pin := request.usable_pin) is not None:
        try:
            return download(places.session, request.at(pin.final_url), intake, state, progress, unless=unless)
        except StatusError as e:
            progress.note(f"{e.message}; trying {public(request.at(request.url))}")
    return download(places.session, request.at(request.url), intake, state, progress, unless=unless)


def _conditions(before: Fetched | None) -> dict[str, str] | None:
    """The headers that ask for the body only if it changed (RFC 9110 §13.1)."""
    if before is None:
        return None
    headers = {"If-None-Match": before.etag, "If-Modified-Since": before.last_modified}
    return {name: value for name, value in headers.items() if value} or None


def _provenance(request: ImageRequest, facts: Facts, digests: Digests, expected: Expected | None) -> Fetched:
    return Fetched(
        url=public(request.url),
        final_url=public(facts.final_url),
        size=digests.size,
        sha256=digests.sha256,
        content_sha256=digests.content_sha256,
        content_size=digests.content_size,
        fetched_at=now(),
        expected_from=expected.source if expected else "",
        expected=expected.digest if expected else None,
        etag=facts.etag,
        last_modified=facts.last_modified,
        sha512=digests.sha512,
        compression=digests.compression,
        signed_url=expected.signed_url if expected else None,
        signature_url=expected.signature_url if expected else None,
    )


def now() -> str:
    """The current time, as provenance has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

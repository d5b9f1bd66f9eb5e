"""Decides whether fetched bytes may be used: digest, signature, format. Only what passes gets a final name."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ovtasks.host.state import try_load_state
from ovtasks.images import signature
from ovtasks.images.checksums import base_names, decode, find_digest, is_clear_signed
from ovtasks.images.expected import NONE_ASKED
from ovtasks.images.inspection import ImageError, UnfitError, inspect
from ovtasks.images.provenance import Fetched, Verified
from ovtasks.images.request import FROM_LOCK, ImageRequest, public
from ovtasks.images.store import Store
from ovtasks.values.urls import is_https, is_web

ONLY_CHECKSUM = "only the checksum was verified, no signature (checksum.keyring is not set)"
INTEGRITY_ONLY = (
    "only the checksum was verified, and it came over plain http like the image: integrity only, for who can change one"
    " can change both (https, checksum.value or checksum.keyring tells)"
)
HINT_DIGEST = "the download is damaged, or the image was replaced or tampered with: compare with the publisher's page"
HINT_LOCK = "the URL has other bytes than the pinned ones: ov lock --update pins the new ones"
NOTHING_VERIFIED = "nothing was verified: checksum.type is none"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The signed bytes (None: the image itself) and their detached signature (None: clear-signed), as they came."""

    signed: bytes | None
    signature: bytes | None


def wanted_digests(request: ImageRequest, expected: str | None) -> list[str]:
    """The digests that the bytes must match: from ``vms.yml`` or the lock file, and from a signed checksum file."""
    known = request.known_digest()
    return list(dict.fromkeys(digest for digest in (known[0] if known else None, expected) if digest))


def compare(request: ImageRequest, fetched: Fetched) -> None:
    """Check the digests of what was fetched.

    :raises UnfitError: one is wrong; the error shows both.
    """
    wrong = [digest for digest in wanted_digests(request, fetched.expected) if not fetched.matches(digest)]
    if not wrong:
        return
    kind = wrong[0].partition(":")[0]
    known = request.known_digest()
    source = known[1] if known and known[0] == wrong[0] else fetched.expected_from
    actual = fetched.sha512 if kind == "sha512" else fetched.sha256
    raise UnfitError(
        f"{public(request.url)} has the wrong digest:\n"
        f"  expected {wrong[0]} (from {source})\n"
        f"  got      {kind}:{actual or 'not computed'}\n"
        + ("the bad file was removed" if request.local is None else "it is not used"),
        hint=HINT_LOCK if fetched.expected_from == FROM_LOCK else HINT_DIGEST,
    )


def examine(store: Store, request: ImageRequest, fetched: Fetched, evidence: Evidence) -> Verified:
    """Check the bytes, wherever they lie, without trusting them.

    :raises UnfitError: wrong digest, or not a usable image. :raises SignatureError: the signature is not good.
    :raises InputError: the keyring is not one. :raises OvError: a program is missing.
    """
    compare(request, fetched)
    keyring = request.checksum.keyring
    keys = signature.keyring_sha256(keyring) if keyring is not None else None
    signer = _signer(store, request, fetched, evidence) if keyring is not None else None
    try:
        inspected = inspect(content_of(store, request, fetched), public(request.url))
    except ImageError as e:
        if request.local is not None or store.has(fetched.content_sha256):
            raise
        raise ImageError(f"{e.message}; the file was removed", hint=e.hint) from e
    return Verified(
        sha256=fetched.content_sha256,
        path=store.path(fetched.content_sha256),
        format=inspected.format,
        virtual_size=inspected.virtual_size,
        expected_from=fetched.expected_from,
        source_sha256=fetched.sha256,
        signer=signer,
        keyring_sha256=keys,
        notes=_notes(fetched, signer),
    )


def findings(store: Store, request: ImageRequest, fetched: Fetched) -> Verified | None:
    """What :func:`examine` found out earlier about exactly these bytes with the same keyring; None if nothing.

    :raises InputError: the keyring cannot be read.
    """
    noted = try_load_state(store.verified_index(request.key))
    if noted is None:
        return None
    try:
        verified = Verified.from_json(noted)
    except (ValueError, TypeError, KeyError):
        return None
    keyring = request.checksum.keyring
    keys = signature.keyring_sha256(keyring) if keyring is not None else None
    same = verified.source_sha256 == fetched.sha256 and verified.sha256 == fetched.content_sha256
    if not same or verified.keyring_sha256 != keys or verified.path != store.path(verified.sha256):
        return None
    return verified if all(fetched.matches(d) for d in wanted_digests(request, fetched.expected)) else None


def content_of(store: Store, request: ImageRequest, fetched: Fetched) -> Path:
    """Where the content lies: in the store, or beside it, as it came or unpacked."""
    if store.has(fetched.content_sha256):
        return store.path(fetched.content_sha256)
    return store.part(request.key) if fetched.compression is None else store.raw_part(request.key)


def _signer(store: Store, request: ImageRequest, fetched: Fetched, evidence: Evidence) -> str:
    """Verify the signature; returns the signer. Only a digest in the text that was really signed counts."""
    keyring, wanted = request.checksum.keyring, request.checksum.fingerprints
    assert keyring is not None
    shown = public(request.url)
    if evidence.signed is None and evidence.signature is None:
        raise signature.SignatureError(f"the signature of {shown} is gone from the store", hint="build with --refresh")
    with tempfile.TemporaryDirectory(prefix="ov-signed-") as folder:
        detached = None
        if evidence.signature is not None:
            detached = Path(folder, "signature")
            detached.write_bytes(evidence.signature)
        if evidence.signed is None:  # the image itself was signed, as downloaded
            return signature.check(keyring, _download_of(store, request, fetched), detached, shown, wanted).signer
        signed = Path(folder, "signed")
        signed.write_bytes(evidence.signed)
        shown = public(fetched.signed_url or request.url)
        result = signature.check(keyring, signed, detached, shown, wanted)
    text = result.text if result.text is not None else decode(evidence.signed)
    names = base_names(request.url, fetched.final_url)
    own = (fetched.signed_url or "").rpartition("/")[2].startswith(names[0])
    kinds = [(fetched.expected or "sha256:").partition(":")[0]]
    if is_clear_signed(text) or find_digest(text, names, kinds, own=own) != fetched.expected:
        raise signature.SignatureError(
            f"{shown}: the signed text does not say {fetched.expected}", hint="build with --refresh"
        )
    return result.signer


def _download_of(store: Store, request: ImageRequest, fetched: Fetched) -> Path:
    part = store.part(request.key)
    image = part if part.is_file() else store.path(fetched.sha256)
    if not image.is_file():
        raise signature.SignatureError(
            f"{public(request.url)} was unpacked: its signature can no longer be checked",
            hint=f"remove {store.index(request.key)} and build again",
        )
    return image


def _notes(fetched: Fetched, signer: str | None) -> tuple[str, ...]:
    if signer is not None:
        return (f"signed by {signer}",)
    if fetched.expected_from == NONE_ASKED:
        return (NOTHING_VERIFIED,)
    return (INTEGRITY_ONLY if is_web(source := fetched.expected_from) and not is_https(source) else ONLY_CHECKSUM,)

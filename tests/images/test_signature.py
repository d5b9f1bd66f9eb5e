"""OpenPGP: real keys, made by gpg for the test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.images.store import Store
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME, ask, obtain
from tests.images.notes import Notes, leftovers
from tests.support.openpgp import Signer
from tests.support.server import Site


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> object:
    home = tmp_path_factory.mktemp("gpg")
    good, other = Signer(home, "good"), Signer(home, "other")
    yield good, other
    good.end()
    other.end()


@pytest.fixture
def good(signers: tuple[Signer, Signer]) -> Signer:
    return signers[0]


@pytest.fixture
def other(signers: tuple[Signer, Signer]) -> Signer:
    return signers[1]


def sums(sha256: str) -> bytes:
    return f"{sha256}  {NAME}\n".encode()


def test_detached_signature_of_the_checksum_file(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer
) -> None:
    site.files["/SHA256SUMS"] = sums(sha256)
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums(sha256))
    for keyring in (good.keyring, good.armoured()):
        verified = obtain(ask(site, store, Checksum("sha256", None, keyring)), notes)
        assert verified.signer and "good@example.org" in verified.signer
        assert any("signed by" in note for note in verified.notes)


def test_clear_signed_checksum_file(site: Site, store: Store, notes: Notes, sha256: str, good: Signer) -> None:
    site.files["/CHECKSUM"] = good.gpg("--clear-sign", data=f"SHA256 ({NAME}) = {sha256}\n".encode())
    assert obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes).signer


def test_signature_of_the_image_itself(site: Site, store: Store, notes: Notes, image: bytes, good: Signer) -> None:
    site.files[f"/{NAME}.asc"] = good.gpg("--armor", "--detach-sign", data=image)
    assert obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes).signer


def test_unknown_key(site: Site, store: Store, notes: Notes, sha256: str, good: Signer, other: Signer) -> None:
    site.files["/SHA256SUMS"] = sums(sha256)
    site.files["/SHA256SUMS.gpg"] = other.gpg("--detach-sign", data=sums(sha256))
    with pytest.raises(OvError, match="not in the keyring"):
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert store.entries() == []


def test_text_changed_after_signing(site: Site, store: Store, notes: Notes, sha256: str, good: Signer) -> None:
    site.files["/SHA256SUMS"] = sums(sha256) + sums("0" * 64).replace(NAME.encode(), b"more")
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums(sha256))
    with pytest.raises(OvError, match="the signature is wrong"):
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert store.entries() == []


def test_line_outside_the_signed_part_counts_for_nothing(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer
) -> None:
    signed = good.gpg("--clear-sign", data=b"SHA256 (other) = " + b"0" * 64 + b"\n")
    site.files["/CHECKSUM"] = f"SHA256 ({NAME}) = {sha256}\n".encode() + signed
    with pytest.raises(OvError):
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)


def test_missing_signature_and_keyring(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer, tmp_path: Path
) -> None:
    site.files["/SHA256SUMS"] = sums(sha256)
    with pytest.raises(InputError, match="no signed checksum file and no signature found") as caught:
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert "SHA256SUMS.gpg: 404" in caught.value.message
    with pytest.raises(InputError, match="does not exist"):
        obtain(ask(site, store, Checksum("sha256", None, tmp_path / "none.gpg")), notes)
    (tmp_path / "empty.gpg").write_bytes(b"")
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums(sha256))
    with pytest.raises(OvError):
        obtain(ask(site, store, Checksum("sha256", None, tmp_path / "empty.gpg")), notes)


def test_signed_but_wrong_digest(site: Site, store: Store, notes: Notes, good: Signer) -> None:
    site.files["/SHA256SUMS"] = sums("0" * 64)
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums("0" * 64))
    with pytest.raises(OvError, match="wrong digest"):
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert leftovers(store) == [] and store.entries() == []


def test_value_counts_beside_a_signed_file_of_the_other_kind(
    site: Site, store: Store, notes: Notes, image: bytes, sha256: str, good: Signer
) -> None:
    text = f"{hashlib.sha512(image).hexdigest()}  {NAME}\n".encode()
    site.files["/SHA512SUMS"] = text
    site.files["/SHA512SUMS.sign"] = good.gpg("--detach-sign", data=text)
    with pytest.raises(OvError, match="wrong digest") as caught:
        obtain(ask(site, store, Checksum("sha256", "0" * 64, good.keyring)), notes)
    assert f"expected sha256:{'0' * 64} (from vms.yml)" in caught.value.message
    assert store.entries() == [] and leftovers(store) == []
    assert obtain(ask(site, store, Checksum("sha256", sha256, good.keyring)), notes).signer


def test_value_contradicted_by_the_signed_file(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer
) -> None:
    site.files["/SHA256SUMS"] = sums(sha256)
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums(sha256))
    with pytest.raises(InputError, match=f"asks for sha256:{'0' * 64}, the signed") as caught:
        obtain(ask(site, store, Checksum("sha256", "0" * 64, good.keyring)), notes)
    assert "ov lock --update" in (caught.value.hint or "")


def test_old_and_new_key_sign_together(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer, other: Signer
) -> None:
    """One good signature is enough, whatever stands beside it that this keyring does not know; a wrong one is not."""
    site.files["/SHA256SUMS"] = sums(sha256)
    both = [signer.gpg("--detach-sign", data=sums(sha256)) for signer in (other, good)]
    for signatures in (both, both[::-1]):
        site.files["/SHA256SUMS.gpg"] = b"".join(signatures)
        fresh = Store(store.root / signatures[0].hex()[-8:])
        assert "good@" in (obtain(ask(site, fresh, Checksum("sha256", None, good.keyring)), notes).signer or "")
    site.files["/SHA256SUMS.gpg"] = both[1] + good.gpg("--detach-sign", data=b"something else")
    with pytest.raises(OvError, match="the signature is wrong"):
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert store.entries() == []


def test_expired_key(site: Site, store: Store, notes: Notes, sha256: str, tmp_path: Path) -> None:
    when = ("--faked-system-time", "20200101T000000!")
    signer = Signer(tmp_path, "old", *when, expires="1d")
    try:
        site.files["/SHA256SUMS"] = sums(sha256)
        site.files["/SHA256SUMS.gpg"] = signer.gpg(*when, "--detach-sign", data=sums(sha256))
        with pytest.raises(OvError, match="has expired") as caught:
            obtain(ask(site, store, Checksum("sha256", None, signer.keyring)), notes)
        assert "gpg --show-keys" in (caught.value.hint or "")
    finally:
        signer.end()


def test_gpgv_is_named_when_it_is_missing(
    site: Site, store: Store, notes: Notes, sha256: str, good: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ovtasks.host import which

    site.files["/SHA256SUMS"] = sums(sha256)
    site.files["/SHA256SUMS.gpg"] = good.gpg("--detach-sign", data=sums(sha256))
    found = which.which
    monkeypatch.setattr(which, "which", lambda program: None if program == "gpgv" else found(program))
    with pytest.raises(OvError, match="gpgv is not installed") as caught:
        obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes)
    assert "gpgv" in (caught.value.hint or "")
    monkeypatch.undo()
    asked = len(site.gets(f"/{NAME}"))
    assert obtain(ask(site, store, Checksum("sha256", None, good.keyring)), notes).signer
    assert len(site.gets(f"/{NAME}")) == asked, "what was downloaded is used"

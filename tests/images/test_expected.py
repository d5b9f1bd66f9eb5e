"""What an image should be: checksum files, their formats and places, wrong digests, pins."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.images.checksums import fedora_checksum_name, find_digest, listed_checksum_files, strip_armor
from ovtasks.images.fetch import fetch
from ovtasks.images.request import ImageRequest, Pin
from ovtasks.images.store import Store
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME, ask, obtain
from tests.images.notes import Notes, leftovers
from tests.support.server import Site

A, B = "a" * 64, "b" * 64
LONG = "c" * 128
ARMOR = f"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# {NAME}: 1 bytes
SHA256 ({NAME}) = {A}
-----BEGIN PGP SIGNATURE-----

xyz
-----END PGP SIGNATURE-----
"""

FORMATS = [
    (f"{A}  {NAME}\n{B}  other.qcow2\n", f"sha256:{A}"),
    (f"{B}  other.qcow2\n{A} *{NAME}\n", f"sha256:{A}"),
    (f"{A}  ./{NAME}\n", f"sha256:{A}"),
    (f"SHA256 ({NAME}) = {A.upper()}\n", f"sha256:{A}"),
    (f"SHA512 ({NAME}) = {LONG}\n", f"sha512:{LONG}"),
    (f"{LONG}  {NAME}\n", f"sha512:{LONG}"),
    (f"{LONG}  {NAME}\n{A}  {NAME}\n", f"sha256:{A}"),
    (strip_armor(ARMOR), f"sha256:{A}"),
    (f"# comment\r\n{A}  {NAME}\r\n", f"sha256:{A}"),
    (f"{A}\n", None),  # a bare digest in a directory's file could be anybody's
    (f"{A}  x{NAME}\n", None),
    (f"{A}  {NAME}.asc\n", None),
    (f"{A}  {NAME}\n{B}  {NAME}\n", None),  # a contradiction is no answer
    (f"{A[:-1]}  {NAME}\n", None),
    (f"MD5 ({NAME}) = {'d' * 32}\n", None),
    (f"<html>{A}  {NAME}</html>", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "digest"), FORMATS)
def test_formats(text: str, digest: str | None) -> None:
    assert find_digest(text, [NAME], ["sha256", "sha512"], own=False) == digest


def test_own_file_may_be_bare_or_name_a_folder() -> None:
    assert find_digest(f"{A}\n", [NAME], ["sha256"], own=True) == f"sha256:{A}"
    assert find_digest(f"{A}  images/{NAME}\n", [NAME], ["sha256"], own=True) == f"sha256:{A}"


def test_fedora_names() -> None:
    new = "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2"
    assert fedora_checksum_name(new) == "Fedora-Cloud-41-1.4-x86_64-CHECKSUM"
    old = "Fedora-Cloud-Base-Generic.x86_64-40-1.14.qcow2"
    assert fedora_checksum_name(old) == "Fedora-Cloud-40-1.14-x86_64-CHECKSUM"
    assert fedora_checksum_name("noble-server-cloudimg-amd64.img") is None
    page = '<a href="X-CHECKSUM">x</a> <a href="../Y-CHECKSUM">y</a> <a href="Z.txt">z</a>'
    assert listed_checksum_files(page, "http://h/d/") == ["http://h/d/X-CHECKSUM"]


PLACES = [
    (f"/{NAME}.SHA256", "{sha256}\n"),
    (f"/{NAME}.sha256", "{sha256}  disk.qcow2\n"),
    (f"/{NAME}.sha256sum", "{sha256}  disk.qcow2\n"),
    (f"/{NAME}.sha512", "{sha512}  disk.qcow2\n"),
    ("/SHA256SUMS", "{sha256} *disk.qcow2\n"),
    ("/SHA512SUMS", "{sha512}  disk.qcow2\n"),
    ("/CHECKSUM", "SHA256 (disk.qcow2) = {sha256}\n"),
    ("/CHECKSUM.SHA256", "{sha256}  disk.qcow2\n"),
]


@pytest.mark.parametrize(("place", "text"), PLACES)
def test_places(site: Site, store: Store, notes: Notes, image: bytes, place: str, text: str) -> None:
    digests = {name: hashlib.new(name, image).hexdigest() for name in ("sha256", "sha512")}
    site.files[place] = text.format(**digests).encode()
    fetched = fetch(ask(site, store, Checksum("sha256")), notes)
    assert fetched.expected_from == f"{site.url}{place}"
    assert obtain(ask(site, store, Checksum("sha256")), notes).sha256 == digests["sha256"]
    assert "only the checksum was verified" in " ".join(obtain(ask(site, store, Checksum()), notes).notes)


def test_listed_checksum_file(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.files["/"] = b'<a href="Compose-1-CHECKSUM">Compose-1-CHECKSUM</a>'
    site.files["/Compose-1-CHECKSUM"] = f"SHA256 ({NAME}) = {sha256}\n".encode()
    assert fetch(ask(site, store, Checksum()), notes).expected_from.endswith("/Compose-1-CHECKSUM")


def test_beside_a_local_file(tmp_path: Path, image: bytes, sha256: str, store: Store, notes: Notes) -> None:
    (tmp_path / NAME).write_bytes(image)
    (tmp_path / "SHA256SUMS").write_text(f"{sha256}  {NAME}\n", encoding="utf-8")
    request = ImageRequest(str(tmp_path / NAME), Checksum(), store.root)
    assert fetch(request, notes).expected == f"sha256:{sha256}"


def test_queries_stay_at_the_end(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.files[f"/{NAME}.sha256"] = sha256.encode()
    fetched = fetch(ask(site, store, Checksum(), name=f"{NAME}?token=1"), notes)
    assert fetched.expected == f"sha256:{sha256}"


def test_nothing_found_names_every_place(site: Site, store: Store, notes: Notes) -> None:
    site.files["/SHA256SUMS"] = f"{A}  other.qcow2\n".encode()
    with pytest.raises(InputError) as caught:
        fetch(ask(site, store, Checksum()), notes)
    for word in (
        f"{NAME}.SHA256: 404",
        "SHA512SUMS: 404",
        "CHECKSUM: 404",
        f"SHA256SUMS: no sha256 or sha512 line for {NAME}",
    ):
        assert word in caught.value.message
    hint = caught.value.hint or ""
    assert "value" in hint and "type: none" in hint
    assert site.gets(f"/{NAME}") == [], "the image itself is not downloaded in vain"


def test_wrong_digest_shows_both_and_removes(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    request = ask(site, store, Checksum("sha256", A))
    with pytest.raises(OvError) as caught:
        obtain(request, notes)
    message = caught.value.message
    assert A in message and sha256 in message and "vms.yml" in message and "the bad file was removed" in message
    assert leftovers(store) == [] and store.entries() == []
    good = ask(site, store, Checksum("sha256", sha256.upper()))
    assert obtain(good, notes).sha256 == sha256


def test_sha512_value(site: Site, store: Store, notes: Notes, image: bytes) -> None:
    digest = hashlib.sha512(image).hexdigest()
    assert obtain(ask(site, store, Checksum("sha512", digest)), notes)
    with pytest.raises(OvError, match="got      sha512"):
        obtain(ask(site, store, Checksum("sha512", LONG)), notes)


def test_known_digest_needs_no_network(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    obtain(ask(site, store), notes)
    elsewhere = ImageRequest("http://no-such-host.invalid/other.qcow2", Checksum("sha256", sha256), store.root)
    assert obtain(elsewhere, notes).sha256 == sha256


def test_bad_values_and_pins(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    with pytest.raises(InputError, match="is not a sha256 digest"):
        fetch(ask(site, store, Checksum("sha256", "abc")), notes)
    pin = Pin(f"{site.url}/{NAME}", sha256, 1)
    pinned = ImageRequest(f"{site.url}/{NAME}", Checksum(), store.root, pin)
    assert obtain(pinned, notes).expected_from == "ovtasks.lock"
    contradiction = ImageRequest(f"{site.url}/{NAME}", Checksum("sha256", A), store.root, pin)
    with pytest.raises(InputError, match="pins") as caught:
        fetch(contradiction, notes)
    assert "ov lock --update" in (caught.value.hint or "")


def test_checksum_file_replaced_during_the_download(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    """The mirror was being updated: the second look settles it, still only for what the file says."""
    place = f"/{NAME}.sha256"
    site.files[place] = A.encode()

    class Replacing(Notes):
        def update(self, done: int, total: int | None, unit: str = "B") -> None:
            site.files[place] = sha256.encode()

    assert obtain(ask(site, store, Checksum()), Replacing()).sha256 == sha256

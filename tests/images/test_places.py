"""Addresses and paths of any form."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from tests.images.chain import Chain
from tests.images.conftest import NAME
from tests.images.test_healing import PATH
from tests.images.test_whole import mbr
from tests.support.server import Site

pytestmark = pytest.mark.slow  # as a whole

ODD_NAMES = [
    "my image.qcow2",
    "100%.qcow2",
    "a#b.qcow2",
    "what?.qcow2",
    "%41.qcow2",
    "bär-日本.qcow2",
    "a&b=c;d.qcow2",
    "[x].qcow2",
    "~.qcow2",
    "a@b:c.qcow2",
    "\\.qcow2",
    "'q\"uote.qcow2",
    " blank",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_any_character(tmp_path: Path, site: Site, image: bytes, sha256: str, name: str) -> None:
    """As a path, taken literally; as a file URL and as a web address, percent-encoded; with digests beside them."""
    from urllib.parse import quote

    own = tmp_path / "My Images" / name
    own.parent.mkdir()
    own.write_bytes(image)
    line = f"{sha256.upper()} *{name}\n"
    if "\\" in name:  # as coreutils writes it
        line = "\\" + line.replace("\\", "\\\\")
    (own.parent / "SHA256SUMS").write_text(line, encoding="utf-8")
    site.files[f"/{quote(name)}"] = image
    site.files["/SHA256SUMS"] = (own.parent / "SHA256SUMS").read_bytes()
    for number, url in enumerate((str(own), own.as_uri(), f"{site.url}/{quote(name)}")):
        chain = Chain(tmp_path / f"p{number}", tmp_path / f"s{number}")
        chain.write(url, {"type": "sha256"})
        chain.build()
        chain.is_right(image)


def test_blanks_in_a_web_address(site: Site, chain: Chain, image: bytes) -> None:
    site.files["/my%20images/disk%201.qcow2"] = image
    chain.write(f"{site.url}/my images/disk 1.qcow2")
    chain.build()
    chain.is_right(image)


def test_missing_image_is_that(site: Site, chain: Chain, tmp_path: Path) -> None:
    for url, said, kind in (
        (f"{site.url}/none.qcow2", "the server answered 404", OvError),
        (str(tmp_path / "none.qcow2"), "cannot read the image .*No such file", InputError),
        ((tmp_path / "none.qcow2").as_uri(), "cannot read the image .*No such file", InputError),
        (str(tmp_path), "is a directory, not an image", InputError),
    ):
        chain.write(url, {"type": "sha256"})
        with pytest.raises(kind, match=said) as caught:
            chain.build()
        assert "checksum" not in caught.value.message and caught.value.hint


def test_places_that_are_no_checksum_files(chain: Chain, tmp_path: Path, image: bytes) -> None:
    """Each is named, and none is waited for."""
    own = tmp_path / NAME
    own.write_bytes(image)
    os.mkfifo(f"{own}.SHA256")
    (tmp_path / f"{NAME}.sha256").mkdir()
    (tmp_path / "SHA256SUMS").symlink_to("nowhere")
    (tmp_path / "SHA512SUMS").write_bytes(bytes(2 << 20))
    chain.write(str(own), {"type": "sha256"})
    with pytest.raises(InputError, match="no checksum found") as caught:
        chain.build()
    for said in (".SHA256 is not a regular file", ".sha256 is a directory", "SHA256SUMS: no such file", "larger than"):
        assert said in caught.value.message


def test_checksum_at_its_own_place(site: Site, chain: Chain, tmp_path: Path, image: bytes, sha256: str) -> None:
    site.files["/sums/all.txt"] = f"{'b' * 64}  other\n{sha256}  {NAME}\n".encode()
    (tmp_path / "own sums").write_text(f"{sha256}\n", encoding="utf-8")
    for place in ("sums/all.txt", "/sums/all.txt", f"{site.url}/sums/all.txt", (tmp_path / "own sums").as_uri()):
        chain.write(f"{site.url}{PATH}", {"url": place})
        chain.build()
        chain.is_right(image)
    assert "integrity only" not in chain.verified().notes[0], "a file of this machine is no stranger's word"
    chain.write(f"{site.url}{PATH}", {"url": "none.txt"})
    with pytest.raises(InputError, match=r"no checksum found.*\n.*none.txt: 404"):
        chain.build()
    own = tmp_path / NAME
    own.write_bytes(image)
    chain.write(str(own), {"url": "own sums"})
    chain.build()
    chain.is_right(image)


@pytest.mark.parametrize("packed", [False, True])
def test_holes_of_local_images_are_kept(tmp_path: Path, chain: Chain, packed: bool) -> None:
    own, sectors = tmp_path / "disk.raw", 100_000
    with own.open("wb") as file:
        file.write(mbr(1, (0x83, 1, sectors - 1)))
        file.seek(20 << 20)
        file.write(b"in the middle")
        file.seek(sectors * 512 - 3)
        file.write(b"end")
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    data = own.read_bytes()
    if packed:
        own.write_bytes(gzip.compress(data, compresslevel=1))
    chain.write(str(own), None if packed else {"value": digest})
    chain.build()
    found = chain.store.path(digest)
    assert found.stat().st_blocks * 512 < 2 << 20 and found.read_bytes() == data

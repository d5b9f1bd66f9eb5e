"""Compressed images, and what is not an image at all."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.images.fetch import fetch
from ovtasks.images.store import Store
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME, ask, obtain
from tests.images.notes import Notes, leftovers
from tests.support.programs import qemu_img
from tests.support.server import Site


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstd,
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("streams", [1, 2])
def test_unpacked_while_streaming(
    site: Site, store: Store, notes: Notes, image: bytes, sha256: str, name: str, streams: int
) -> None:
    pieces = [image] if streams == 1 else [image[:100000], image[100000:]]
    packed = b"".join(COMPRESSORS[name](piece) for piece in pieces)
    site.files[f"/disk.{name}"] = packed
    site.files[f"/disk.{name}.sha256"] = hashlib.sha256(packed).hexdigest().encode()
    fetched = fetch(ask(site, store, Checksum(), name=f"disk.{name}"), notes)
    assert fetched.compression == name and fetched.sha256 == hashlib.sha256(packed).hexdigest()
    verified = obtain(ask(site, store, Checksum(), name=f"disk.{name}"), notes)
    assert verified.sha256 == sha256 and verified.path.read_bytes() == image
    assert leftovers(store) == []


def test_magic_and_not_the_name_decides(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    site.files["/disk.img"] = lzma.compress(image)
    assert obtain(ask(site, store, name="disk.img"), notes).sha256 == sha256


def test_zstd_with_skippable_frames(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    """Parallel and seekable zstd keep tables in frames that a reader skips (RFC 8878 §3.1.2)."""
    skip = struct.pack("<II", 0x184D2A5E, 20) + bytes(20)
    site.files["/disk.zst"] = skip + zstd(image[:100000]) + skip + zstd(image[100000:]) + skip
    assert obtain(ask(site, store, name="disk.zst"), notes).sha256 == sha256


def test_unpacked_sparse(site: Site, store: Store, notes: Notes) -> None:
    raw = bytes(510) + b"\x55\xaa" + bytes((64 << 20) - 512)
    site.files["/disk.raw.gz"] = gzip.compress(raw)
    verified = obtain(ask(site, store, name="disk.raw.gz"), notes)
    assert verified.format == "raw" and verified.virtual_size == 64 << 20
    assert verified.path.stat().st_blocks * 512 < 1 << 20


def test_resumed_compressed_download(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    packed = lzma.compress(image + os.urandom(200000))
    site.files["/disk.xz"] = packed
    site.faults["/disk.xz"] = ["drop:100000"] + ["status:500"] * 9
    with pytest.raises(OvError):
        fetch(ask(site, store, name="disk.xz"), notes)
    site.faults["/disk.xz"] = []
    fetched = fetch(ask(site, store, name="disk.xz"), notes)
    assert fetched.sha256 == hashlib.sha256(packed).hexdigest()
    assert site.gets("/disk.xz")[-1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage"])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_damaged_compressed_data(site: Site, store: Store, notes: Notes, image: bytes, name: str, damage: str) -> None:
    packed = COMPRESSORS[name](image)
    middle = len(packed) // 2
    broken = {
        "cut": packed[:-20],
        "flipped": packed[:middle] + bytes(b ^ 0xFF for b in packed[middle : middle + 64]) + packed[middle + 64 :],
        "garbage": packed + b"this is not compressed at all",
    }[damage]
    site.files["/disk"] = broken
    with pytest.raises(OvError) as caught:
        obtain(ask(site, store, name="disk"), notes)
    assert "Traceback" not in str(caught.value) and name in caught.value.message
    assert leftovers(store) == [] and store.entries() == []


def qcow2_with(path: Path, *options: str) -> bytes:
    qemu_img("create", "-q", "-f", "qcow2", *options, path, "16M")
    return path.read_bytes()


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, image: bytes) -> dict[str, tuple[bytes, str]]:
    """Name → (bytes, what the error says)."""
    tmp_path = tmp_path_factory.mktemp("refused")
    host = tmp_path / "shadow.raw"
    host.write_bytes(bytes(1 << 20))
    version9 = bytearray(image)
    version9[4:8] = struct.pack(">I", 9)
    corrupt = bytearray(image)
    corrupt[72:80] = struct.pack(">Q", struct.unpack(">Q", image[72:80])[0] | 2)
    secret = ["--object", "secret,id=key,data=secret", "-o", "encrypt.format=aes,encrypt.key-secret=key"]
    vmdk = tmp_path / "x.vmdk"
    qemu_img("create", "-q", "-f", "vmdk", vmdk, "16M")
    return {
        "backing": (qcow2_with(tmp_path / "b.qcow2", "-b", str(host), "-F", "raw"), "has a backing file"),
        "data-file": (
            qcow2_with(tmp_path / "d.qcow2", "-o", f"data_file={tmp_path / 'd.raw'}"),
            "data in another file",
        ),
        "encrypted": (qcow2_with(tmp_path / "e.qcow2", *secret), "is encrypted"),
        "vmdk": (vmdk.read_bytes(), "is a vmdk image"),
        "html": (b"<!DOCTYPE html><html>404</html>", "looks like a web page"),
        "text": (b"hello" * 1000, "unknown image format"),
        "luks": (b"LUKS\xba\xbe" + bytes(4096), "encrypted"),
        "iso": (bytes(32769) + b"CD001" + bytes(4096), "ISO 9660"),
        "tar": (bytes(257) + b"ustar" + bytes(4096), "tar archive"),
        "version": (bytes(version9), "version 9"),
        "corrupt": (bytes(corrupt), "corrupt"),
        "cut": (image[:90], "cut off"),
    }


NAMES = ["backing", "data-file", "encrypted", "vmdk", "html", "text", "luks", "iso", "tar", "version", "corrupt", "cut"]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_or_wrong_content_is_refused(
    site: Site, store: Store, notes: Notes, refused: dict[str, tuple[bytes, str]], name: str
) -> None:
    data, words = refused[name]
    site.files[f"/{NAME}"] = data
    with pytest.raises(OvError) as caught:
        obtain(ask(site, store), notes)
    assert words in caught.value.message and caught.value.hint
    assert leftovers(store) == [] and store.entries() == [], "nothing unverified has a final name"


def test_record_of_a_verified_image_is_json(site: Site, store: Store, notes: Notes) -> None:
    verified = obtain(ask(site, store), notes)
    assert json.loads(json.dumps(verified.to_json()))["format"] == "qcow2"

"""A mirror of the eleven distributions on loopback, laid out as they are: paths, checksum files, signatures, redirects.

Below each server's name lies what that server has at the same path. ``source: debian:13`` finds it by the setting
``images.mirror``. What only the distributions can make, their signatures, is made with a key of the test.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ovtasks.images import keyring
from ovtasks.project import official
from ovtasks.project.official import OfficialImage, official_images
from tests.support.openpgp import Signer
from tests.support.server import Site, self_signed, serve

ROWS = official_images()
NEWEST = {one.name.partition(":")[0]: one for one in reversed(ROWS)}
"""Each distribution's first row."""
ARCH = "x86_64"
Format = Callable[[str, str], bytes]


def gnu(name: str, digest: str) -> bytes:
    return f"{'0' * len(digest)}  another.qcow2\n{digest}  {name}\n".encode()


def binary(name: str, digest: str) -> bytes:
    return f"{'0' * len(digest)} *another.img\n{digest} *{name}\n".encode()


def bsd(name: str, digest: str) -> bytes:
    kind = f"SHA{len(digest) * 4}"
    return f"# {name}: 300 bytes\n{kind} (another.qcow2) = {'0' * len(digest)}\n{kind} ({name}) = {digest}\n".encode()


def bare(name: str, digest: str) -> bytes:
    return f"{digest}\n".encode()


def built(name: str) -> str:
    """The build that openSUSE's name without a version leads to."""
    return name.replace("-Cloud", "-1.0-Cloud-Build2")


def of_build(name: str, digest: str) -> bytes:
    return f"{digest}  {built(name)}\n".encode()


@dataclass(frozen=True)
class Layout:
    """``sums`` writes the checksum file, which is called ``named``.

    ``signed``: a detached signature's suffix, ``inside`` the checksum file, or ``image.asc``: of the image itself.
    ``moved``: the image's name is answered with a redirect to one of the distribution's own mirrors.
    """

    sums: Format
    named: str
    signed: str = ""
    moved: bool = False


LAYOUT = {
    "alpine": Layout(bare, "{file}.sha512", "image.asc"),
    "almalinux": Layout(gnu, "CHECKSUM", ".asc"),
    "amazon": Layout(gnu, "SHA256SUMS"),
    "arch": Layout(gnu, "{file}.SHA256", ".sig", moved=True),
    "centos": Layout(bsd, "{file}.SHA256SUM"),
    "debian": Layout(gnu, "SHA512SUMS", moved=True),
    "fedora": Layout(bsd, "Fedora-Cloud-44-1.7-x86_64-CHECKSUM", "inside", moved=True),
    "freebsd": Layout(bsd, "CHECKSUM.SHA512"),
    "opensuse": Layout(of_build, "{file}.sha256", ".asc", moved=True),
    "rocky": Layout(bsd, "CHECKSUM", ".asc"),
    "ubuntu": Layout(binary, "SHA256SUMS", ".gpg"),
}


def place(url: str) -> str:
    """Where the mirror has what a server has at ``url``."""
    parts = urlsplit(url)
    return f"/{parts.netloc}{parts.path}"


def publish(mirror: Site, row: OfficialImage, image: bytes, signer: Signer) -> str:
    """Put the image, its checksum file, its signature and the key where the distribution has them.

    Returns the path at which the image's bytes are.
    """
    layout = LAYOUT[row.name.partition(":")[0]]
    path = place(str(row.source(ARCH)["url"]))
    folder, _, name = path.rpartition("/")
    data = lzma.compress(image) if name.endswith(".xz") else image
    text = layout.sums(name, hashlib.new(row.row["checksum"]["type"], data).hexdigest())
    sums = f"{folder}/{layout.named.format(file=name)}"
    mirror.files[sums] = signer.gpg("--clear-sign", data=text) if layout.signed == "inside" else text
    if layout.signed.startswith("."):
        armour = [] if layout.signed == ".sig" else ["--armor"]
        mirror.files[sums + layout.signed] = signer.signature_of(text, *armour)
    elif layout.signed == "image.asc":
        mirror.files[f"{path}.asc"] = signer.signature_of(data, "--armor")
    if keyring := row.row.get("keyring"):
        mirror.files[place(keyring["url"])] = signer.armoured().read_bytes()
    if layout.moved:
        there = f"/mirrors/near{folder}/{built(name) if layout.sums is of_build else name}"
        mirror.moved[path], path = there, there
    mirror.files[path] = data
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's certificate with its key; what a client has to trust lies beside it as ``.crt``."""
    return self_signed(tmp_path_factory.mktemp("tls") / "mirror.pem")


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Stands for every distribution that signs."""
    made = Signer(tmp_path_factory.mktemp("gpg"), "vendor")
    yield made
    made.end()


@pytest.fixture
def distributions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signer: Signer) -> None:
    """ov's list of images with the key of ``signer``, an empty store, and a machine that has no keys."""
    monkeypatch.setattr(platform, "machine", lambda: ARCH)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(keyring, "INSTALLED", ())
    rows = json.loads(official.LIST.read_text(encoding="utf-8"))
    for row in rows["images"]:
        if "keyring" in row:
            row["keyring"]["fingerprints"] = [signer.fingerprint]
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    monkeypatch.setattr(official, "LIST", tmp_path / "list.json")


@pytest.fixture
def mirror(distributions: None, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty mirror, by TLS. It is the user's, and its certificate is one that this machine trusts."""
    with serve(Site(), certificate=certificate) as running:
        monkeypatch.setenv("OV_IMAGES_MIRROR", running.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
        yield running

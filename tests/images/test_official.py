"""``source: debian:13``: every distribution's image, from a mirror with its layout, checksum file and signature."""

from __future__ import annotations

import hashlib
import json
import lzma
import platform
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from ovtasks.cli import lock
from ovtasks.errors import InputError, InputErrors
from ovtasks.graph.chains import Graph
from ovtasks.graph.execute import execute
from ovtasks.images import keyring
from ovtasks.images.lockfile import read_lock
from ovtasks.images.request import Pin, locked_as, request_of
from ovtasks.images.signature import SignatureError
from ovtasks.project import official
from ovtasks.project.load import load_project
from ovtasks.project.model import CloudImageSource
from ovtasks.project.official import OfficialImage, official_images
from ovtasks.project.schema import schema_text
from ovtasks.sources.cloud_image import CloudImage
from tests.images.chain import Chain
from tests.images.test_signature import Signer
from tests.support.programs import attempt, call
from tests.support.server import Site, serve
from tests.support.workbench import OV

ROWS = official_images()
NEWEST = {one.name.partition(":")[0]: one for one in reversed(ROWS)}
"""Each distribution's first row."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(keyring, "INSTALLED", ())


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    made = Signer(tmp_path_factory.mktemp("gpg"), "vendor")
    yield made
    made.end()


@pytest.fixture
def mirror() -> Iterator[Site]:
    with serve(Site()) as running:
        yield running


@cache
def fingerprint(signer: Signer) -> str:
    words = ("--homedir", signer.home, "--batch", "--list-keys", "--with-colons")
    return next(line.split(":")[9] for line in call("gpg", *words).stdout.splitlines() if line.startswith("fpr"))


def gnu(name: str, digest: str) -> bytes:
    return f"{'0' * len(digest)}  another.qcow2\n{digest}  {name}\n".encode()


def binary(name: str, digest: str) -> bytes:
    return f"{'0' * len(digest)} *another.img\n{digest} *{name}\n".encode()


def bsd(name: str, digest: str) -> bytes:
    kind = f"SHA{len(digest) * 4}"
    return f"# {name}: 300 bytes\n{kind} (another.qcow2) = {'0' * len(digest)}\n{kind} ({name}) = {digest}\n".encode()


def bare(name: str, digest: str) -> bytes:
    return f"{digest}\n".encode()


def of_build(name: str, digest: str) -> bytes:
    return f"{digest}  {name.replace('-Cloud', '-1.0-Cloud-Build2')}\n".encode()


Format = Callable[[str, str], bytes]
# Distribution → its checksum file's format and name, and what is signed: a detached signature's suffix, or "inside".
LAYOUT: dict[str, tuple[Format, str, str]] = {
    "alpine": (bare, "{file}.sha512", "image.asc"),
    "almalinux": (gnu, "CHECKSUM", ".asc"),
    "amazon": (gnu, "SHA256SUMS", ""),
    "arch": (gnu, "{file}.SHA256", ".sig"),
    "centos": (bsd, "{file}.SHA256SUM", ""),
    "debian": (gnu, "SHA512SUMS", ""),
    "fedora": (bsd, "Fedora-Cloud-44-1.7-x86_64-CHECKSUM", "inside"),
    "freebsd": (bsd, "CHECKSUM.SHA512", ""),
    "opensuse": (of_build, "{file}.sha256", ".asc"),
    "rocky": (bsd, "CHECKSUM", ".asc"),
    "ubuntu": (binary, "SHA256SUMS", ".gpg"),
}


def publish(mirror: Site, row: OfficialImage, image: bytes, signer: Signer) -> None:
    """Put the image, its checksum file, its signature and the key where the distribution has them."""
    style, named, signed = LAYOUT[row.name.partition(":")[0]]
    path = urlsplit(str(row.source("x86_64")["url"])).path
    folder, _, name = path.rpartition("/")
    data = lzma.compress(image) if name.endswith(".xz") else image
    sums = style(name, hashlib.new(row.row["checksum"]["type"], data).hexdigest())
    place = f"{folder}/{named.format(file=name)}"
    mirror.files |= {path: data, place: signer.gpg("--clear-sign", data=sums) if signed == "inside" else sums}
    if signed.startswith("."):
        armour = [] if signed == ".sig" else ["--armor"]
        mirror.files[place + signed] = signer.gpg(*armour, "--detach-sign", data=sums)
    elif signed == "image.asc":
        sealed = signer.home / "image"
        sealed.write_bytes(data)
        signer.gpg("--armor", "--output", str(signer.home / "image.asc"), "--detach-sign", str(sealed))
        mirror.files[f"{path}.asc"] = (signer.home / "image.asc").read_bytes()
    mirror.files["/key"] = signer.armoured().read_bytes()


def here(monkeypatch: pytest.MonkeyPatch, folder: Path, mirror: Site, signer: Signer) -> None:
    """Use the real list, with the mirror's address in it, and the test's key."""
    rows = json.loads(official.LIST.read_text(encoding="utf-8"))["images"]
    for row in rows:
        row["url"] = re.sub("^https://[^/]+", mirror.url, row["url"])
        if "keyring" in row:
            row["keyring"] = {"url": f"{mirror.url}/key", "fingerprints": [fingerprint(signer)]}
    path = folder / "list.json"
    path.write_text(json.dumps({"images": rows}), encoding="utf-8")
    monkeypatch.setattr(official, "LIST", path)


def project(folder: Path, source: object) -> Chain:
    folder.mkdir(exist_ok=True)
    vms = {"vms": {"a": {"source": source, "ssh": {"key_source": "none"}}}}
    (folder / "vms.yml").write_text(yaml.safe_dump(vms), encoding="utf-8")
    return Chain(folder, folder)


@pytest.mark.parametrize("distro", sorted(LAYOUT))
def test_every_distribution(
    distro: str, mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = NEWEST[distro]
    publish(mirror, row, image, signer)
    here(monkeypatch, tmp_path, mirror, signer)
    chain = project(tmp_path / "p", row.name)
    assert chain.build() == ["fetch", "verify"]
    assert chain.link().read_bytes() == image
    assert (fingerprint(signer) in (chain.verified().signer or "")) is row.signed is (LAYOUT[distro][2] != "")
    source = load_project(tmp_path / "p").vms["a"].source
    assert isinstance(source, CloudImageSource)
    assert (source.official, source.base_user, source.distro) == (row.name, row.row["user"], row.row["distro"])
    assert ("gpgv" in CloudImage().programs(source.fields)) is row.signed
    asked = len(mirror.requests)
    assert chain.build() == [] and len(mirror.requests) == asked
    graph = Graph(load_project(tmp_path / "p"))
    for step in graph.chain("a"):
        if not graph.freshness(step).fresh:
            needs = {name: receipt for name, receipt in graph.receipts(step).items() if receipt is not None}
            execute(step, needs, graph.locks, chain.notes)
    disk = tmp_path / "p/output/a/qcow2/disk.qcow2"
    assert json.loads(call("qemu-img", "info", "--output=json", disk).stdout)["format"] == "qcow2"
    assert disk.with_name("seed.iso").is_file()


def test_only_the_key_of_the_list_counts(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Signer(tmp_path, "stranger")
    publish(mirror, NEWEST["ubuntu"], image, stranger)
    here(monkeypatch, tmp_path, mirror, signer)
    chain = project(tmp_path / "p", "ubuntu")
    with pytest.raises(InputError, match=f"the keyring .*/key has no key {fingerprint(signer)}"):
        chain.build()
    mirror.files["/key"] = stranger.keyring.read_bytes() + signer.keyring.read_bytes()
    with pytest.raises(SignatureError, match=f"signed by the key {fingerprint(stranger)}, not by"):
        chain.build()
    publish(mirror, NEWEST["ubuntu"], image, signer)
    chain.build()
    del mirror.files["/key"]
    assert load_project(tmp_path / "p").vms["a"].ssh.user == "ubuntu"
    stranger.end()


def test_a_key_that_a_package_brought_is_not_fetched(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror, NEWEST["fedora"], image, signer)
    here(monkeypatch, tmp_path, mirror, signer)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/vendor").write_bytes(mirror.files.pop("/key"))
    monkeypatch.setattr(keyring, "INSTALLED", (f"{tmp_path}/keys/*",))
    assert project(tmp_path / "p", "fedora:44").build() == ["fetch", "verify"]


def test_fingerprints_are_those_of_gpg(signer: Signer) -> None:
    assert [*keyring.fingerprints(signer.keyring.read_bytes())] == [fingerprint(signer)]
    for end in range(0, len(signer.keyring.read_bytes()), 7):  # damaged
        assert {*keyring.fingerprints(signer.keyring.read_bytes()[:end])} <= {fingerprint(signer)}


def test_the_lock_keeps_what_the_name_stood_for(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror, NEWEST["debian"], image, signer)
    here(monkeypatch, tmp_path, mirror, signer)
    chain = project(tmp_path / "p", "debian")

    def lock_now(*words: str) -> int:
        import argparse

        parser = argparse.ArgumentParser()
        lock.arguments(parser)
        return lock.run(parser.parse_args([*words], argparse.Namespace(directory=tmp_path / "p", quiet=True)))

    assert lock_now() == 0
    file = tmp_path / "p" / "ovtasks.lock"
    (pin,) = read_lock(file).items()
    assert pin[0] == "debian x86_64" and pin[1].final_url.startswith(mirror.url)
    assert lock_now("--check") == 0
    chain.build()
    moved = json.loads(official.LIST.read_text(encoding="utf-8").replace("/cloud/trixie/latest/", "/cloud/forky/"))
    (tmp_path / "moved.json").write_text(json.dumps(moved), encoding="utf-8")
    monkeypatch.setattr(official, "LIST", tmp_path / "moved.json")
    before = chain.link(), len(mirror.requests)
    assert chain.build() == ["fetch", "verify"] and chain.build() == []
    assert (chain.link(), len(mirror.requests)) == before
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")  # a machine of another kind keeps the pin of this one
    publish(mirror, NEWEST["debian"], image, signer)
    data = mirror.files
    for path in [*data]:
        data[path.replace("amd64", "arm64").replace("trixie/latest", "forky")] = data[path].replace(b"amd64", b"arm64")
    assert lock_now() == 0
    assert {*read_lock(file)} == {"debian x86_64", "debian aarch64"}


def test_a_url_of_ones_own_is_pinned_by_itself(tmp_path: Path) -> None:
    own = {"kind": "cloud_image", "official": "debian:13", "url": "https://mirror.example.org/d.qcow2"}
    project(tmp_path, own)
    source = load_project(tmp_path).vms["a"].source
    assert isinstance(source, CloudImageSource) and locked_as(source, tmp_path) == own["url"]
    assert request_of(source, Pin("https://old.example.org/d.qcow2", "0" * 64, 1)).url == own["url"]


def errors(folder: Path, source: object) -> list[InputError]:
    project(folder, source)
    with pytest.raises(InputErrors) as caught:
        load_project(folder)
    return [*caught.value.errors]


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (error,) = errors(tmp_path, "debain:13")
    assert error.message == "'debain:13' is not in the list of official images" and "'debian:13'" in (error.hint or "")
    assert error.where is not None and (error.where.line, error.where.column) == (3, 13)
    (error,) = errors(tmp_path, "debian:11")
    assert "'debian:13' or 'debian:12'" in (error.hint or "")
    assert "write source: {kind: cloud_image" in (errors(tmp_path, "zzz")[0].hint or "")
    (error,) = errors(tmp_path, {"kind": "cloud_image"})
    assert error.message == "'url' is missing in vms.a.source" and (error.hint or "").startswith("url: Where the image")
    cloud = {"kind": "cloud_image", "url": "https://example.org/a"}
    (error,) = errors(tmp_path, {**cloud, "checksum": {"keyring": "https://example.org/key"}})
    assert error.message == "checksum.keyring is a URL, and checksum.fingerprints is missing"
    (error,) = errors(tmp_path, {**cloud, "checksum": {"fingerprints": ["A" * 40]}})
    assert error.message == "checksum.fingerprints needs checksum.keyring"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    (error,) = errors(tmp_path, "arch")
    assert error.message == "Arch Linux has no image for aarch64, only for x86_64"


def test_what_the_entry_says_wins(tmp_path: Path) -> None:
    own = {"kind": "cloud_image", "official": "fedora", "url": "https://mirror.example.org/f.qcow2", "base_user": "me"}
    project(tmp_path, own)
    source = load_project(tmp_path).vms["a"].source
    assert isinstance(source, CloudImageSource) and source.url == own["url"] and source.base_user == "me"
    assert source.checksum.fingerprints == tuple(NEWEST["fedora"].row["keyring"]["fingerprints"])
    assert source.checksum.keyring is None and source.checksum.keyring_url == "https://fedoraproject.org/fedora.gpg"


def test_the_list_is_as_its_schema_says() -> None:
    from jsonschema import Draft202012Validator

    data = json.loads(official.LIST.read_text(encoding="utf-8"))
    assert [*Draft202012Validator(json.loads(schema_text("images"))).iter_errors(data)] == []
    names = [name for one in ROWS for name in (one.name, *one.also)]
    assert len(names) == len({*names}) and {*LAYOUT} == {*NEWEST}
    for one in ROWS:
        for arch in one.arches:
            source = one.source(arch)
            assert not {"{", "}"} & {*json.dumps([source["url"], source["checksum"].get("url")])}


def listed(*words: str) -> str:
    return call(*OV, "images", *words).stdout


def test_ov_images() -> None:
    table = listed().splitlines()
    assert len(table) == 1 + len(ROWS) and table[0].split()[:3] == ["NAME", "TITLE", "USER"]
    assert [line.split()[0] for line in listed("leap").splitlines()[1:]] == ["opensuse:16.0", "opensuse:15.6"]
    found = json.loads(listed("debian", "trixie", "--json"))
    assert found == {"images": [dict(NEWEST["debian"].row)]}
    refused = attempt(*OV, "images", "debain")
    assert refused.returncode == 2 and "did you mean 'debian'" in refused.stderr

"""``source: debian:13``: every distribution's image, from a mirror with its layout, checksum file and signature."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

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
from ovtasks.project.schema import schema_text
from ovtasks.sources.cloud_image import CloudImage
from tests.images.chain import project_of
from tests.support.mirror import LAYOUT, NEWEST, ROWS, place, publish
from tests.support.openpgp import Signer
from tests.support.programs import attempt, call
from tests.support.server import Site
from tests.support.workbench import OV


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


KEY = place(NEWEST["ubuntu"].row["keyring"]["url"])
"""Where the mirror has Ubuntu's key."""


@pytest.mark.parametrize("distro", sorted(LAYOUT))
def test_every_distribution(
    distro: str, mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = NEWEST[distro]
    publish(mirror, row, image, signer)
    chain = project_of(tmp_path / "p", row.name)
    assert chain.build() == ["fetch", "verify"]
    assert chain.link().read_bytes() == image
    assert (signer.fingerprint in (chain.verified().signer or "")) is row.signed is (LAYOUT[distro].signed != "")
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
    chain = project_of(tmp_path / "p", "ubuntu")
    with pytest.raises(InputError, match=f"the keyring .*/pks/lookup.* has no key {signer.fingerprint}"):
        chain.build()
    mirror.files[KEY] = stranger.keyring.read_bytes() + signer.keyring.read_bytes()
    with pytest.raises(SignatureError, match=f"signed by the key {stranger.fingerprint}, not by"):
        chain.build()
    publish(mirror, NEWEST["ubuntu"], image, signer)
    chain.build()
    del mirror.files[KEY]
    assert load_project(tmp_path / "p").vms["a"].ssh.user == "ubuntu"
    stranger.end()


def test_a_key_that_a_package_brought_is_not_fetched(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror, NEWEST["fedora"], image, signer)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/vendor").write_bytes(mirror.files.pop(place(NEWEST["fedora"].row["keyring"]["url"])))
    monkeypatch.setattr(keyring, "INSTALLED", (f"{tmp_path}/keys/*",))
    assert project_of(tmp_path / "p", "fedora:44").build() == ["fetch", "verify"]


def test_fingerprints_are_those_of_gpg(signer: Signer) -> None:
    assert [*keyring.fingerprints(signer.keyring.read_bytes())] == [signer.fingerprint]
    for end in range(0, len(signer.keyring.read_bytes()), 7):  # damaged
        assert {*keyring.fingerprints(signer.keyring.read_bytes()[:end])} <= {signer.fingerprint}


def test_the_lock_keeps_what_the_name_stood_for(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror, NEWEST["debian"], image, signer)
    chain = project_of(tmp_path / "p", "debian")

    def lock_now(*words: str) -> int:
        import argparse

        parser = argparse.ArgumentParser()
        lock.arguments(parser)
        return lock.run(parser.parse_args([*words], argparse.Namespace(directory=tmp_path / "p", quiet=True)))

    assert lock_now() == 0
    file = tmp_path / "p" / "ovtasks.lock"
    (pin,) = read_lock(file).items()
    assert pin[0] == "debian x86_64" and pin[1].final_url.startswith("https://cloud.debian.org/")
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
    mirror.moved = {a.replace("amd64", "arm64").replace("trixie/latest", "forky"): b for a, b in mirror.moved.items()}
    assert lock_now() == 0
    assert {*read_lock(file)} == {"debian x86_64", "debian aarch64"}


def test_a_url_of_ones_own_is_pinned_by_itself(tmp_path: Path) -> None:
    own = {"kind": "cloud_image", "official": "debian:13", "url": "https://mirror.example.org/d.qcow2"}
    project_of(tmp_path, own)
    source = load_project(tmp_path).vms["a"].source
    assert isinstance(source, CloudImageSource) and locked_as(source, tmp_path) == own["url"]
    assert request_of(source, Pin("https://old.example.org/d.qcow2", "0" * 64, 1)).url == own["url"]


def errors(folder: Path, source: object) -> list[InputError]:
    project_of(folder, source)
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
    assert error.message == "'url' is missing in vms.a.source" and (error.hint or "").startswith("url: The address")
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
    project_of(tmp_path, own)
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

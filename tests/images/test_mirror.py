"""``images.mirror``: the bytes come from elsewhere, and what they are and who vouches for them stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.images.lockfile import write_lock
from ovtasks.images.request import Pin
from ovtasks.images.signature import SignatureError
from tests.images.chain import Chain, project_of
from tests.support.mirror import NEWEST, place, publish
from tests.support.openpgp import Signer
from tests.support.server import Site, serve


@pytest.fixture
def plain(distributions: None, image: bytes, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A mirror by http, with all images."""
    with serve(Site()) as running:
        for row in NEWEST.values():
            publish(running, row, image, signer)
        monkeypatch.setenv("OV_IMAGES_MIRROR", running.url)
        yield running


def test_a_mirror_makes_nothing_stale(
    mirror: Site, signer: Signer, image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(mirror, NEWEST["fedora"], image, signer)
    chain = project_of(tmp_path / "p", "fedora")
    assert chain.build() == ["fetch", "verify"]
    assert {path.split("/")[1] for _, path, _ in mirror.requests} == {
        *("download.fedoraproject.org", "fedoraproject.org", "mirrors"),
    }
    asked = len(mirror.requests)
    for place_ in (None, "https://elsewhere.example.org/i"):
        if place_ is None:
            monkeypatch.delenv("OV_IMAGES_MIRROR")
        else:
            monkeypatch.setenv("OV_IMAGES_MIRROR", place_)
        assert chain.build() == []
    assert len(mirror.requests) == asked


def test_errors_name_the_mirror(mirror: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"tried {mirror.url}/cloud.debian.org/images/cloud/.*: 404"):
        project_of(tmp_path / "p", "debian").build()


def test_an_image_that_the_mirror_changed(mirror: Site, signer: Signer, image: bytes, tmp_path: Path) -> None:
    for number, distro in enumerate(("debian", "fedora", "alpine")):
        chain = project_of(tmp_path / str(number), distro)
        path = publish(mirror, NEWEST[distro], image, signer)
        mirror.files[path] = image[:-1] + b"?"
        with pytest.raises(SignatureError if distro == "alpine" else OvError, match=r"wrong"):
            chain.build()
        assert chain.store.entries() == []


def test_plain_http_is_enough_for_what_is_signed(plain: Site, tmp_path: Path) -> None:
    assert project_of(tmp_path / "p", "ubuntu").build() == ["fetch", "verify"]


def test_plain_http_proves_no_checksum(plain: Site, tmp_path: Path) -> None:
    chain = project_of(tmp_path / "p", "debian")
    with pytest.raises(InputError, match="is not signed, so its checksum has to come by https") as caught:
        chain.build()
    assert plain.url in caught.value.message and plain.requests == []


def test_plain_http_brings_what_is_pinned(plain: Site, image: bytes, sha256: str, tmp_path: Path) -> None:
    chain = project_of(tmp_path / "p", "debian")
    url = str(NEWEST["debian"].source("x86_64")["url"])
    write_lock(tmp_path / "p/ovtasks.lock", {"debian x86_64": Pin(url, sha256, len(image))})
    assert chain.build() == ["fetch", "verify"]
    assert not [path for _, path, _ in plain.requests if "SUMS" in path]
    older = url.replace("trixie/latest", "trixie/20260101-1")  # where an older list of ov had it
    plain.files[place(older)] = image
    write_lock(tmp_path / "p/ovtasks.lock", {"debian x86_64": Pin(older, sha256, len(image))})
    second = Chain(tmp_path / "p", tmp_path / "other")
    assert second.build() == ["fetch", "verify"] and second.build() == []


def test_a_url_of_ones_own_is_asked_itself(plain: Site, image: bytes, sha256: str, tmp_path: Path) -> None:
    with serve(Site({"/d.qcow2": image})) as own:
        checksum = {"type": "sha256", "value": sha256}
        source = {"kind": "cloud_image", "official": "debian", "url": f"{own.url}/d.qcow2", "checksum": checksum}
        assert project_of(tmp_path / "p", source).build() == ["fetch", "verify"]
        assert own.gets("/d.qcow2") and plain.requests == []

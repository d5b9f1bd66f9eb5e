"""A small image, a server that has it, a store, and retries without pauses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.images import http
from ovtasks.images.fetch import fetch
from ovtasks.images.provenance import Verified
from ovtasks.images.request import ImageRequest
from ovtasks.images.store import Store
from ovtasks.images.verify import verify
from ovtasks.project.model import Checksum
from tests.images.chain import Chain
from tests.images.notes import Notes
from tests.images.parts import DISK, IMAGE, SHA256, SUMS
from tests.images.stage import Stage, perform
from tests.support.mirror import certificate, distributions, mirror, signer
from tests.support.programs import qemu_img, qemu_io
from tests.support.server import Site, serve
from tests.support.workbench import Workbench, new_bench

__all__ = ["certificate", "distributions", "mirror", "signer"]
NAME = "disk.qcow2"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A qcow2 image of some 300 KiB with content."""
    path = tmp_path_factory.mktemp("image") / NAME
    qemu_img("create", "-q", "-f", "qcow2", path, "16M")
    qemu_io("-f", "qcow2", "-c", "write -P 7 0 128k", path)
    return path.read_bytes()


@pytest.fixture
def sha256(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


@pytest.fixture
def site(image: bytes) -> Iterator[Site]:
    with serve(Site({f"/{NAME}": image})) as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An empty project."""
    return new_bench(tmp_path / "project")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as many as ever, their pauses a hundred times shorter."""
    monkeypatch.setattr(http, "LIMITS", replace(http.LIMITS, pause=0.005, connect=5.0, idle=5.0))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits for servers that say nothing."""
    limits = replace(
        http.LIMITS, pause=0.001, longest_pause=0.05, connect=5.0, idle=0.8, answer=1.2, piece=1.2, retries=2
    )
    monkeypatch.setattr(http, "LIMITS", limits)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server that has a disk and its digest, until it is given another part."""
    with perform(Stage({DISK: IMAGE, SUMS: f"{SHA256}  disk.raw\n".encode()})) as running:
        yield running


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A project with one VM."""
    return Chain(tmp_path / "project", tmp_path / "store")


def obtain(request: ImageRequest, notes: Notes) -> Verified:
    """Fetch and verify, as the two steps do."""
    return verify(request, fetch(request, notes), notes)


def ask(site: Site, store: Store, checksum: Checksum | None = None, name: str = NAME) -> ImageRequest:
    return ImageRequest(f"{site.url}/{name}", checksum or Checksum("none"), store.root)

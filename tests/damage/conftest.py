"""One world for all tests of a worker; each puts it back as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.damage.world import IMAGE, World
from tests.support.server import Site, serve
from tests.support.workbench import make_image


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("damage")
    make_image(folder / IMAGE)
    image = (folder / IMAGE).read_bytes()
    sums = f"{hashlib.sha256(image).hexdigest()}  {IMAGE}\n".encode()
    with serve(Site({f"/{IMAGE}": image, "/SHA256SUMS": sums})) as site:
        world = World(folder / "world", site)
        try:
            world.build()
            yield world
        finally:
            world.close()

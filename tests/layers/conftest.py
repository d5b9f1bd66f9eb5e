"""A running Debian for all tests of this room: each takes back what it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.layers.guest import snapshot
from tests.support.programs import call
from tests.support.systemd import System, debian_tar, running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A Debian whose systemd runs."""
    folder = tmp_path_factory.mktemp("system")
    root = folder / "root"
    root.mkdir()
    call("tar", "-xf", debian_tar(tmp_path_factory.getbasetemp()), "-C", root, "--numeric-owner")
    with running(root, folder / "log") as found:
        yield found


@pytest.fixture
def unchanged(system: System) -> Iterator[System]:
    """The system, which must be as before at the end of the test."""
    before = snapshot(system)
    yield system
    assert snapshot(system) == before

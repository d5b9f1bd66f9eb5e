"""A running Debian for all tests of this room: each takes back what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.layers.guest import snapshot
from tests.support.programs import call
from tests.support.systemd import System, make_root, running


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of a Debian as a tar file."""
    path = tmp_path_factory.mktemp("debian") / "root.tar"
    make_root(path)
    return path


@pytest.fixture(scope="session")
def system(debian: Path) -> Iterator[System]:
    """A Debian whose systemd runs."""
    root = debian.with_name("root")
    root.mkdir()
    call("tar", "-xf", debian, "-C", root, "--numeric-owner")
    with running(root, debian.with_name("log")) as found:
        yield found


@pytest.fixture
def unchanged(system: System) -> Iterator[System]:
    """The system, which must be as before at the end of the test."""
    before = snapshot(system)
    yield system
    assert snapshot(system) == before

"""A podman, a registry and a project for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.podman import Podman
from tests.containers.registry import Registry
from tests.support.workbench import Workbench, new_bench


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    made = Podman.make(tmp_path / "podman")
    yield made
    left = made("ps", "--all", "--external", "--quiet")
    made.clear()
    assert left == "", "containers were left"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry")
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path, podman: Podman) -> Workbench:
    """An empty project that uses ``podman``."""
    return new_bench(tmp_path / "project", podman.env, vms="vms: {}\n")

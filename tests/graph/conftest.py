"""A small image and a project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workbench import DODO, Workbench, make_image, new_bench


@pytest.fixture(scope="session")
def small_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 16 MiB qcow2 image; tests must not change it."""
    path = tmp_path_factory.mktemp("images") / "small.qcow2"
    make_image(path)
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An empty project with the two-line dodo.py."""
    return new_bench(tmp_path / "project", dodo=DODO)

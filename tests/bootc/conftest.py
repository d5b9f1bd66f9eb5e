"""Rooms for the tests, and what must not be left in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootc.install import Lab, control
from tests.bootc.leftovers import Before, before
from tests.bootc.room import Room
from tests.bootc.storage import standin_room


def must_be_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("loop devices and mounts take root: run the tests as root")


@pytest.fixture
def room() -> Iterator[Room]:
    """A room of the test's own, with the images ``localhost/root`` and ``localhost/standin``."""
    must_be_root()
    with standin_room() as room:
        yield room


@pytest.fixture
def clean(room: Room, tmp_path: Path) -> Iterator[Before]:
    """Nothing is left in the room or in ``tmp_path`` at the end (loop devices are detached, and the test fails)."""
    remembered = before(room, tmp_path)
    yield remembered
    remembered.nothing_is_left()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A room for all tests of a module that install by hand."""
    must_be_root()
    with standin_room() as room:
        yield Lab(room, tmp_path_factory.mktemp("out"))


@pytest.fixture
def clean_lab(lab: Lab) -> Iterator[Lab]:
    """That, and a look at what the test leaves in it."""
    remembered = before(lab.room, lab.folder)
    yield lab
    control(lab.room, "")
    remembered.nothing_is_left()

"""Verbs killed between any two calls that matter, by plain QEMU: the next one comes to the right end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kills import check_create, check_destroy, check_remove, check_update
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        yield made


def test_create(room: Room) -> None:
    assert check_create(room, 8) >= 8


def test_create_of_what_exists(room: Room) -> None:
    assert check_update(room, 5) >= 5


def test_destroy(room: Room) -> None:
    assert check_destroy(room, 4) >= 4


def test_destroy_with_its_disk(room: Room) -> None:
    assert check_remove(room, 6) >= 6

"""Verbs on a full disk, in every state of the VM: one message with the folder, and what frees room works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import attempt, mount, umount
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """Its VMs are on a file system of their own, of 2 MiB."""
    with qemu_room(tmp_path) as made:
        made.data.mkdir(parents=True)
        mount("-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", made.data)
        try:
            yield made
        finally:
            umount("--lazy", made.data)


def fill(room: Room) -> Path:
    path = room.data / "fill"
    attempt("dd", "if=/dev/zero", f"of={path}", "bs=4k")
    return path


def test_a_vm_on_a_disk_that_fills_up(room: Room) -> None:
    room.ov("vm", "create", "web")
    fill(room)
    assert "running" in room.ov("vm", "list")
    room.ov("vm", "status", "web")
    said = room.ov("vm", "create", "web", "-i", "second", code=1)
    assert f"the disk is full ({room.data}/vm/ov-web-second)" in said and "XDG_DATA_HOME" in said
    assert not (room.data / "vm" / "ov-web-second").exists()
    room.ov("vm", "stop", "--force", "web")
    said = room.ov("vm", "start", "web", code=None)
    assert "started" in said or "the disk is full" in said
    room.ov("vm", "destroy", "--disk", "web")
    assert not room.folder.exists() and room.qemus() == []


def test_a_limit_of_the_shell(room: Room) -> None:
    """``ulimit -f``: no file over 64 KiB."""
    room.ov("vm", "build", "web")
    room.words = ["prlimit", "--fsize=65536", "--", *room.words]
    said = room.ov("vm", "create", "web", code=1)
    assert "larger than is allowed: 65536 bytes" in said and "ulimit -f" in said
    assert "there are no VMs" in room.ov("vm", "list", "-a")

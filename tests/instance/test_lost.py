"""What exists is never replaced silently: an instance without its record, by plain QEMU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lost import LOSSES, check, check_nothing_to_do, check_verbs
from tests.support.rooms import Room, declare, qemu_room

pytestmark = pytest.mark.slow


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        yield made


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_the_record_comes_back(loss: str, running: bool, room: Room) -> None:
    check(room, loss, running=running)


def test_every_verb_finds_it(room: Room) -> None:
    check_verbs(room)


def test_a_second_create_writes_nothing(room: Room) -> None:
    check_nothing_to_do(room)


def test_a_lost_process_id(room: Room) -> None:
    """QEMU runs and nobody noted it: it is found, and not started twice."""
    room.ov("vm", "create", "web")
    qemus = room.qemus()
    for lost in (("qemu.pid",), ("qemu.pid", "argv.json"), ("qemu.pid", "argv.json", "machine.json", "instance.json")):
        for name in lost:
            (room.folder / name).unlink()
        assert room.vm()["state"] == "running"
        room.ov("vm", "create", "web")
        assert room.qemus() == qemus
    (room.folder / "qemu.pid").unlink()
    room.ov("vm", "destroy", "--disk", "web")
    assert room.qemus() == []


def test_a_record_of_a_newer_version_is_refused(room: Room) -> None:
    room.ov("vm", "create", "web", "--no-start")
    record = room.folder / "instance.json"
    record.write_text(json.dumps({"version": 99}))
    before = room.files()
    said = room.ov("vm", "create", "web", code=1)
    assert f"{record} has version 99" in said and f"mv {record}" in said
    assert room.files() == before


def test_a_disk_elsewhere_that_is_not_there_now(room: Room, tmp_path: Path) -> None:
    """A link to a file system that is not mounted is no missing disk."""
    room.ov("vm", "create", "web", "--no-start")
    disk = room.folder / "disk.qcow2"
    away = tmp_path / "away.qcow2"
    disk.rename(away)
    disk.symlink_to(away)
    assert "nothing to do" in room.ov("vm", "create", "web", "--no-start")
    away.rename(tmp_path / "unmounted")
    said = room.ov("vm", "create", "web", "--no-start", code=3)
    assert f"is a symbolic link to {away}, which is missing" in said and f"rm {disk}" in said
    assert disk.readlink() == away


def test_what_the_disk_stands_on(room: Room) -> None:
    """Lost links are made again from what was built; what was built anew since is never put in their place."""
    room.ov("vm", "create", "web", "--no-start")
    room.mark()
    for lost in (room.folder / "built" / "disk.qcow2", next(room.folder.glob("base-*"))):
        lost.unlink()
        said = room.ov("vm", "start", "web", code=1)
        assert f"stands on {lost}, which is missing" in said and "ov vm create web" in said
        assert "linked again" in room.ov("vm", "create", "web", "--no-start")
        assert room.marked()
    (room.folder / "built" / "disk.qcow2").unlink()
    declare(room, room.project.parent / "empty.qcow2", disk_size="2G")
    room.ov("vm", "create", "web", "--no-start")
    assert not (room.folder / "built" / "disk.qcow2").exists()
    (room.folder / "disk.qcow2").rename(room.folder / "kept")
    (room.folder / "disk.qcow2").mkdir()
    assert "is not a file, where the disk of web must be" in room.ov("vm", "create", "web", "--no-start", code=1)


def test_a_disk_that_was_made_and_not_noted(room: Room) -> None:
    """As a create leaves it that is killed right after it made the disk."""
    room.ov("vm", "create", "web", "--no-start")
    record = room.record()
    room.mark()
    (room.folder / "instance.json").write_text(json.dumps({key: v for key, v in record.items() if key != "built"}))
    (room.folder / "owner.json").write_text(json.dumps({"vm": "web", "instance": None}))
    room.ov("vm", "create", "web", "--no-start")
    assert room.marked() and room.record()["built"] == record["built"]


def test_artifacts_across_file_systems_are_recognised(room: Room, tmp_path: Path) -> None:
    """The copy that the instance holds has the same bytes as what was built."""
    room.ov("vm", "create", "web", "--no-start")
    held = room.folder / "built" / "disk.qcow2"
    data = held.read_bytes()
    held.unlink()
    held.write_bytes(data)
    held.chmod(0o444)
    for name in ("instance.json", "owner.json"):
        (room.folder / name).unlink()
    assert "older than the build" not in room.ov("vm", "create", "web", "--no-start")
    declare(room, tmp_path / "empty.qcow2", disk_size="2G")
    (room.folder / "instance.json").unlink()
    (room.folder / "owner.json").unlink()
    assert "older than the build" in room.ov("vm", "create", "web", "--no-start")

"""What killed or failed creates and destroys leave blocks no name and is not listed; the next verb or gc ends it."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.instance.folder import Folder, is_instance, is_leftover, sockets_folder, unkept
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        yield made


def removed(room: Room) -> Path:
    """As a destroy leaves it that is killed when the folder has lost its name."""
    room.ov("vm", "create", "web", "--no-start")
    gone = room.folder.with_name(".ov-web.removed")
    room.folder.rename(gone)
    return gone


ENDS = [("vm", "destroy", "--disk", "web"), ("vm", "create", "--no-start", "web"), ("gc",)]


@pytest.mark.parametrize("words", ENDS, ids=[" ".join(words) for words in ENDS])
def test_a_removal_that_was_killed(words: tuple[str, ...], room: Room) -> None:
    gone = removed(room)
    assert "there are no VMs" in room.ov("vm", "list", "-a")
    if words == ("gc",):
        assert str(gone) in room.ov("gc", "--dry-run") and gone.exists()
    room.ov(*words)
    assert not gone.exists()


def half(room: Room) -> Path:
    """As a create leaves it that is killed before it has a disk."""
    folder = room.data / "vm" / "ov-web-x"
    (folder / "built").mkdir(parents=True)
    (folder / "owner.json").write_text('{"vm": "web", "instance": "x"}')
    (folder / ".disk.qcow2.part").write_text("half")
    return folder


@pytest.mark.parametrize("words", [("vm", "destroy", "--disk", "web", "-i", "x"), ("gc",)], ids=["destroy", "gc"])
def test_a_create_that_was_killed(words: tuple[str, ...], room: Room) -> None:
    folder = half(room)
    assert is_leftover(folder) and not is_instance(folder)
    assert "there are no VMs" in room.ov("vm", "list", "-a")
    room.ov(*words)
    assert not folder.exists()


def test_it_blocks_no_name(room: Room) -> None:
    folder = half(room)
    vms = json.loads((room.project / "vms.yml").read_text())["vms"]
    (room.project / "vms.yml").write_text(json.dumps({"vms": {**vms, "web-x": vms["web"]}}))
    room.ov("vm", "create", "--no-start", "web-x")
    assert json.loads((folder / "owner.json").read_text())["vm"] == "web-x"


def test_a_create_that_fails_leaves_nothing(room: Room) -> None:
    room.ov("vm", "build", "web")
    before = {path for path in room.data.rglob("*") if "locks" not in path.parts}
    room.ov("vm", "create", "web", "-i", "x", "--ssh-key", "/nowhere.pub", code=2)
    room.ov("vm", "create", "web", "-i", "y", "--uri", "qemu:///nowhere", code=1)
    after = {path for path in room.data.rglob("*") if "locks" not in path.parts}
    assert [path for path in after - before if "ov-web-y" in str(path)] == []
    room.ov("vm", "destroy", "--disk", "web", "-i", "x")
    assert not (room.data / "vm" / "ov-web-x").exists()


def test_the_users_files_in_the_folder_are_nobodys_rest(room: Room) -> None:
    folder = half(room)
    (folder / "notes.txt").write_text("mine")
    room.ov("gc")
    assert (folder / "notes.txt").read_text() == "mine"


def test_gc_leaves_a_build_and_its_key_alone(room: Room) -> None:
    room.ov("vm", "build", "web")
    assert (room.folder / "id_ed25519").exists()
    room.ov("gc")
    assert (room.folder / "id_ed25519").exists()
    assert "nothing to do" in room.ov("vm", "build", "web")


def test_sockets_of_a_vm_that_is_gone(room: Room, tmp_path: Path) -> None:
    runtime = tmp_path / "r"
    lost, alive = (runtime / "ov" / name for name in ("0123456789abcdef", "fedcba9876543210"))
    for path in (lost, alive):
        path.mkdir(parents=True)
    room.env["XDG_RUNTIME_DIR"] = str(runtime)
    with socket.socket(socket.AF_UNIX) as old, socket.socket(socket.AF_UNIX) as used:
        old.bind(str(lost / "qmp.sock"))
        old.close()
        used.bind(str(alive / "qmp.sock"))
        used.listen()
        room.ov("gc")
        assert not lost.exists() and (alive / "qmp.sock").exists()


def test_sockets_of_a_vm_that_starts(room: Room, tmp_path: Path) -> None:
    """Nobody listens there yet, and the VM may be of another ``$XDG_DATA_HOME``."""
    runtime = tmp_path / "r"
    starting = runtime / "ov" / "0123456789abcdef"
    room.env["XDG_RUNTIME_DIR"] = str(runtime)
    with sockets_folder(starting):
        room.ov("gc")
        assert starting.exists()
    room.ov("gc")
    assert not starting.exists()


def test_a_start_waits_for_a_removal(tmp_path: Path) -> None:
    """gc has the folder first: the start makes it anew."""
    place = tmp_path / "ov" / "0123456789abcdef"
    with sockets_folder(place):
        pass
    started = threading.Event()

    def start() -> None:
        with sockets_folder(place):
            (place / "qmp.sock").touch()
            started.set()

    with unkept(place) as free:
        assert free
        thread = threading.Thread(target=start)
        thread.start()
        assert not started.wait(0.2)
        shutil.rmtree(place)
    thread.join(30)
    assert (place / "qmp.sock").exists()


def test_a_folder_of_the_users_own_by_a_link(room: Room, tmp_path: Path) -> None:
    """A link in the place of the folder is followed nowhere."""
    room.ov("vm", "create", "--no-start", "web")
    away = tmp_path / "away"
    shutil.move(room.folder, away)
    room.folder.symlink_to(away)
    room.ov("vm", "destroy", "--disk", "web", code=3)
    assert (away / "disk.qcow2").exists() and room.folder.is_symlink()


def test_where_sockets_may_be_removed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vm" / "ov-web")
    assert folder.has_sockets(folder.path / "run") and folder.has_sockets(Path("/run/user/7/ov") / folder.sockets_name)
    for path in (tmp_path, folder.path, Path("/home/me"), Path("/run/user/7/ov/0123456789abcdef")):
        assert not folder.has_sockets(path)

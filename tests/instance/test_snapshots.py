"""``ov vm snapshot``: made, gone back to and deleted, and killed on the way."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance.forks import Forks, forks
from tests.instance.test_overlays import has as wrote
from tests.instance.test_overlays import has_open
from tests.instance.test_overlays import put as write
from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.programs import attempt, qemu_img, qemu_io
from tests.support.rooms import Room, libvirt_room, qemu_room
from tests.support.session import session_user

pytestmark = pytest.mark.slow
SECONDS = 120.0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        made.ov("vm", "create", "web", "--no-start")
        yield made


def put(room: Room, value: int) -> None:
    qemu_io("-f", "qcow2", "-c", f"write -P {value} 64k 64k", room.folder / "disk.qcow2")


def has(room: Room, value: int) -> bool:
    disk = room.folder / "disk.qcow2"
    said = attempt("qemu-io", "-r", "-f", "qcow2", "-c", f"read -P {value} 64k 64k", disk, timeout=SECONDS).stdout
    return "failed" not in said and "read 65536/65536" in said


def names(room: Room) -> list[str]:
    """As snapshots.json has them, which costs less than a command."""
    file = room.folder / "snapshots.json"
    return [one["name"] for one in json.loads(file.read_text()).get("snapshots", ())] if file.exists() else []


def files(room: Room) -> int:
    return len([*room.folder.glob("disk.*.qcow2")])


@pytest.fixture
def quick(room: Room) -> Iterator[Forks]:
    with forks(room) as made:
        yield made


def test_the_page(room: Room) -> None:
    """The commands of docs/snapshots.md, in their order."""
    ((_, text),) = blocks(ROOT / "docs" / "snapshots.md", "web")
    said = [room.ov(*shlex.split(line)[1:]) for line in text.splitlines()]
    assert "before-upgrade" in said[1] and "all is well" in said[1] and names(room) == []


def test_life(room: Room) -> None:
    for value in (1, 2, 3):
        put(room, value)
        room.ov("vm", "snapshot", "create", "web", f"s{value}")
    put(room, 4)
    room.ov("vm", "snapshot", "revert", "web", "s1")
    assert has(room, 1) and names(room) == ["s1", "s2", "s3"]
    listed = json.loads(room.ov("vm", "snapshot", "list", "web", "--json"))
    assert [one["name"] for one in listed] == names(room)
    room.ov("vm", "snapshot", "revert", "web", "s3")
    assert has(room, 3)
    room.ov("vm", "snapshot", "delete", "web", "s2")
    room.ov("vm", "snapshot", "delete", "web", "s1")
    assert has(room, 3) and names(room) == ["s3"] and files(room) == 1
    room.ov("vm", "snapshot", "delete", "web", "s3")
    assert has(room, 3) and names(room) == [] and files(room) == 0
    qemu_img("check", "-q", room.folder / "disk.qcow2")
    room.ov("vm", "destroy", "--disk", "web")
    assert not room.folder.exists()


def test_running(room: Room) -> None:
    put(room, 1)
    room.ov("vm", "start", "web")
    room.ov("vm", "snapshot", "create", "web", "live", "--description", "it runs")
    room.ov("vm", "snapshot", "create", "web", "more")
    assert "is running" in room.ov("vm", "snapshot", "revert", "web", "live", code=3)
    room.ov("vm", "snapshot", "delete", "web", "more")
    assert names(room) == ["live"] and files(room) == 1
    room.ov("vm", "stop", "--force", "web")
    room.ov("vm", "snapshot", "revert", "web", "live")
    assert has(room, 1) and files(room) == 1


def test_force(room: Room) -> None:
    """A running VM is off while its disk changes, and runs again; one that was off stays off."""
    put(room, 1)
    room.ov("vm", "snapshot", "create", "web", "one")
    put(room, 2)
    assert "no snapshot x" in room.ov("vm", "snapshot", "revert", "--force", "web", "x", code=2)
    room.ov("vm", "snapshot", "revert", "--force", "web", "one")
    assert has(room, 1) and room.vm()["state"] == "stopped"
    room.ov("vm", "start", "web")
    before = room.qemus()
    assert "no snapshot x" in room.ov("vm", "snapshot", "revert", "--force", "web", "x", code=2)
    assert room.qemus() == before
    room.ov("eval", "libvirt", "snapshot", "revert", "--force", "web", "one")
    assert len(room.qemus()) == 1 and room.qemus() != before
    room.ov("vm", "stop", "--force", "web")
    assert has(room, 1)


def test_force_killed(room: Room, quick: Forks) -> None:
    """Twenty strikes: repeated, the VM runs with the disk of the snapshot."""
    put(room, 1)
    quick.ov("vm", "snapshot", "create", "web", "one")
    quick.ov("vm", "start", "web")
    words = ("revert", "--force", "web", "one")
    total = quick.calls(*words)
    kills = 0
    for number in range(20):
        kills += quick.strike(1 + number * total // 20, *words)
        quick.ov("vm", "snapshot", *words)
        assert len(room.qemus()) == 1, number
        assert names(room) == ["one"] and files(room) == 1, number
    assert kills >= 18, (kills, total)
    quick.ov("vm", "stop", "--force", "web")
    assert has(room, 1) and not (room.folder / "start-again").exists()


def test_probe_verbs(room: Room) -> None:
    """``ov eval libvirt snapshot`` leads to the same snapshots."""
    put(room, 1)
    room.ov("eval", "libvirt", "snapshot", "create", "web", "one", "--description", "as a probe")
    put(room, 2)
    found = json.loads(room.ov("eval", "libvirt", "snapshot", "info", "web", "one"))
    assert (found["name"], found["description"], found["current"]) == ("one", "as a probe", True)
    assert Path(found["file"]).is_file() and found["size"] > 0
    assert json.loads(room.ov("vm", "snapshot", "info", "web", "one")) == found
    assert "no snapshot x" in room.ov("vm", "snapshot", "info", "web", "x", code=2)
    room.ov("eval", "libvirt", "snapshot", "revert", "web", "one")
    assert has(room, 1)
    room.ov("eval", "libvirt", "snapshot", "delete", "web", "one")
    assert names(room) == [] and files(room) == 0 and has(room, 1)


def check_live_delete(room: Room) -> None:
    """The middle one, the newest and the oldest of four are merged while the VM runs and writes."""
    room.ov("vm", "start", "web")
    pid = room.qemus()
    for number in range(1, 5):
        write(room, number)
        room.ov("vm", "snapshot", "create", "web", f"s{number}")
    write(room, 5)
    for done, name in enumerate(("s2", "s4", "s1"), 1):
        room.ov("vm", "snapshot", "delete", "web", name)
        assert files(room) == 4 - done, name
    assert has_open(room)
    write(room, 6)
    room.ov("vm", "snapshot", "create", "web", "s7")
    write(room, 7)
    assert room.qemus() == pid and names(room) == ["s3", "s7"]
    room.ov("vm", "stop", "--force", "web")
    assert wrote(room, range(1, 8))
    room.ov("vm", "snapshot", "revert", "web", "s3")
    assert wrote(room, range(1, 4))
    room.ov("vm", "snapshot", "revert", "web", "s7")
    assert wrote(room, range(1, 7))


def test_live_delete(room: Room) -> None:
    check_live_delete(room)


@pytest.mark.xdist_group("libvirt")
def test_live_delete_by_libvirt() -> None:
    with session_user() as user, libvirt_room(user) as room:
        room.ov("vm", "create", "web", "--no-start")
        check_live_delete(room)


def test_live_delete_killed(room: Room, quick: Forks) -> None:
    """Twenty strikes on a delete below a running VM, each ended by ``ov gc``."""
    quick.ov("vm", "start", "web")
    total = None
    kills = 0
    for number in range(21):
        write(room, number + 1)
        quick.ov("vm", "snapshot", "create", "web", "one")
        if total is None:
            total = quick.calls("delete", "web", "one")
            continue
        kills += quick.strike(1 + number * (total - 1) // 20, "delete", "web", "one")
        if names(room):
            quick.ov("vm", "snapshot", "delete", "web", "one")
        quick.ov("gc")
        assert files(room) == 0, number
    assert kills >= 18, (kills, total)
    quick.ov("vm", "stop", "--force", "web")
    assert wrote(room, range(1, 22)) and files(room) == 0


def check_memory(room: Room) -> None:
    """The guest goes on from the moment of the snapshot: what it wrote to disk and memory afterwards is gone."""
    room.ov("vm", "snapshot", "create", "web", "off")
    assert "is off" in room.ov("vm", "snapshot", "create", "--memory", "web", "full", code=3)
    room.ov("vm", "start", "web")
    write(room, 1)
    room.ov("vm", "snapshot", "create", "--memory", "web", "full")
    assert has_open(room) and room.vm()["state"] == "running"
    write(room, 2)
    assert "is running" in room.ov("vm", "snapshot", "revert", "web", "full", code=3)
    first = room.qemus()
    room.ov("vm", "snapshot", "revert", "--force", "web", "full")
    assert room.vm()["state"] == "running" and room.qemus() != first
    write(room, 3)
    room.ov("vm", "snapshot", "create", "--memory", "web", "more")
    room.ov("vm", "stop", "--force", "web")
    assert json.loads(room.ov("vm", "snapshot", "info", "web", "full"))["memory"]
    room.ov("vm", "snapshot", "revert", "web", "more")
    assert room.vm()["state"] == "running"
    room.ov("vm", "snapshot", "delete", "web", "full")
    room.ov("vm", "stop", "--force", "web")
    assert sorted(path.name for path in room.folder.glob("*.state")) == ["disk.1.state", "disk.3.state"]
    room.ov("vm", "snapshot", "revert", "web", "off")
    assert room.vm()["state"] == "stopped"
    room.ov("vm", "start", "web")


def test_memory(room: Room) -> None:
    check_memory(room)


def test_memory_of_another_machine(room: Room) -> None:
    """QEMU's reason is shown, and the VM is off; it boots from the disk of the snapshot."""
    room.ov("vm", "start", "web")
    room.ov("vm", "snapshot", "create", "--memory", "web", "one")
    room.ov("vm", "stop", "--force", "web")
    machine = room.folder / "disk.1.state" / "machine.json"
    machine.write_text(json.dumps({**json.loads(machine.read_text()), "ram": 192 << 20}))
    said = room.ov("vm", "snapshot", "revert", "web", "one", code=1)
    assert "Size mismatch" in said or "length" in said.lower(), said
    assert room.vm()["state"] == "stopped" and not room.qemus()


def test_memory_killed(room: Room, quick: Forks) -> None:
    """Twenty strikes on each verb. The VM goes on; repeated, all is well."""
    quick.ov("vm", "start", "web")
    write(room, 1)
    quick.ov("vm", "snapshot", "create", "--memory", "web", "one")
    write(room, 2)
    create = ("create", "--memory", "web", "two")
    revert = ("revert", "--force", "web", "one")
    totals = quick.calls(*create), quick.calls(*revert)
    kills = [0, 0]
    for number in range(20):
        if "two" in names(room):
            quick.ov("vm", "snapshot", "delete", "web", "two")
        kills[0] += quick.strike(1 + number * totals[0] // 20, *create)
        until_running(room, quick)
        if "two" not in names(room):
            quick.ov("vm", "snapshot", *create)
        kills[1] += quick.strike(1 + number * totals[1] // 20, *revert)
        quick.ov("vm", "snapshot", *revert)
        until_running(room, quick)
        assert names(room) == ["one", "two"] and files(room) == 2, number
    assert min(kills) >= 18, (kills, totals)
    quick.ov("vm", "stop", "--force", "web")
    assert wrote(room, range(1, 2))
    left = {path.name for path in room.folder.iterdir() if "still" in path.name or path.name.startswith("live.")}
    assert not left


def until_running(room: Room, quick: Forks) -> None:
    """Until the process that waits for a killed ``ov`` has let the guest go on."""
    until = time.monotonic() + SECONDS
    while json.loads(quick.ov("vm", "status", "web", "--json"))["state"] != "running":
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.xdist_group("libvirt")
def test_memory_by_libvirt() -> None:
    with session_user() as user, libvirt_room(user) as room:
        room.ov("vm", "create", "web", "--no-start")
        check_memory(room)


def test_gc_merges(room: Room) -> None:
    """``ov gc`` ends a delete that was killed while the VM runs."""
    put(room, 1)
    room.ov("vm", "start", "web")
    for name in ("one", "two"):
        room.ov("vm", "snapshot", "create", "web", name)
    listed = json.loads((room.folder / "snapshots.json").read_text())
    listed["snapshots"] = listed["snapshots"][:1]
    (room.folder / "snapshots.json").write_text(json.dumps(listed))
    room.ov("gc", "--dry-run")
    assert files(room) == 2
    room.ov("gc")
    assert files(room) == 1 and names(room) == ["one"]
    room.ov("vm", "stop", "--force", "web")
    room.ov("vm", "snapshot", "revert", "web", "one")
    assert has(room, 1)


def test_gc_after_a_kill(room: Room, quick: Forks) -> None:
    """Strikes on a delete, each ended by ``ov gc``."""
    put(room, 1)
    total = None
    for number in range(21):
        quick.ov("vm", "snapshot", "create", "web", "one")
        if total is None:
            total = quick.calls("delete", "web", "one")
            continue
        quick.strike(1 + number * (total - 1) // 20, "delete", "web", "one")
        quick.ov("gc")
        assert has(room, 1) and files(room) == len(names(room)), number
        if names(room):
            quick.ov("vm", "snapshot", "delete", "web", "one")


def test_mistakes(room: Room) -> None:
    assert "no snapshot x" in room.ov("vm", "snapshot", "revert", "web", "x", code=2)
    assert "not a valid snapshot name" in room.ov("vm", "snapshot", "create", "web", "../x", code=2)
    room.ov("vm", "snapshot", "create", "web", "x")
    assert "already" in room.ov("vm", "snapshot", "create", "web", "x", code=2)
    (room.folder / "disk.qcow2").unlink()
    assert "its snapshots are there: x" in room.ov("vm", "create", "web", "--no-start", code=3)
    room.ov("vm", "snapshot", "revert", "web", "x")
    room.ov("vm", "create", "web", "--no-start")


def test_killed(room: Room, quick: Forks) -> None:
    """Twenty strikes on each verb: the disk has what it had, or what it was asked to have; repeated, all is well."""
    put(room, 1)
    quick.ov("vm", "snapshot", "create", "web", "one")
    put(room, 2)
    calls_of = {
        "create": quick.calls("create", "web", "two"),
        "revert": quick.calls("revert", "web", "two"),
        "delete": quick.calls("delete", "web", "two"),
    }
    kills = dict.fromkeys(calls_of, 0)

    def struck(number: int, verb: str, name: str) -> None:
        kills[verb] += quick.strike(1 + number % calls_of[verb], verb, "web", name)

    for number in range(20):
        struck(number, "create", "two")
        assert has(room, 2), number
        if "two" not in names(room):
            quick.ov("vm", "snapshot", "create", "web", "two")
        struck(number, "revert", "one")
        assert has(room, 1) or has(room, 2), number
        quick.ov("vm", "snapshot", "revert", "web", "one")
        assert has(room, 1), number
        quick.ov("vm", "snapshot", "revert", "web", "two")
        assert has(room, 2), number
        struck(number, "delete", "two")
        assert has(room, 2), number
        if "two" in names(room):
            quick.ov("vm", "snapshot", "delete", "web", "two")
        assert has(room, 2) and names(room) == ["one"], number
    assert min(kills.values()) >= 18, (kills, calls_of)

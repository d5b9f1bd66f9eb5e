"""``source.kind: clone``: built from a snapshot and for a new one again, independent afterwards; killed on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance.forks import Forks, forks
from tests.support.programs import attempt, qemu_img, qemu_io
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow
SECONDS = 120.0
STRIKES = 20


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        file = made.project / "vms.yml"
        vms = json.loads(file.read_text())
        vms["vms"]["twin"] = {
            **vms["vms"]["web"],
            "source": {"kind": "clone", "from_vm": "web", "from_snapshot": "s"},
        }
        file.write_text(json.dumps(vms), encoding="utf-8")
        yield made


def put(room: Room, value: int) -> None:
    qemu_io("-f", "qcow2", "-c", f"write -P {value} 64k 64k", room.folder / "disk.qcow2")


def has(room: Room, value: int) -> bool:
    disk = room.project / "output" / "twin" / "qcow2" / "disk.qcow2"
    said = attempt("qemu-io", "-r", "-f", "qcow2", "-c", f"read -P {value} 64k 64k", disk, timeout=SECONDS).stdout
    return "failed" not in said and "read 65536/65536" in said


def snapshot(room: Room, value: int) -> None:
    """Make ``s`` a snapshot of a disk that has the value."""
    put(room, value)
    room.ov("vm", "snapshot", "create", "web", "s")


def test_life(room: Room) -> None:
    said = room.ov("vm", "build", "twin", code=None)
    assert "web, which twin is a clone of, is not created" in said and "vms.yml" in said
    assert "hint: ov vm create web; then ov vm snapshot create web s" in said
    room.ov("vm", "create", "web", "--no-start")
    said = room.ov("vm", "build", "twin", code=2)
    assert "web has no snapshot s" in said and "hint: ov vm snapshot create web s" in said
    snapshot(room, 1)
    put(room, 2)
    before = room.files()
    room.ov("vm", "build", "twin")
    assert has(room, 1) and room.files().items() >= before.items()

    room.ov("vm", "snapshot", "delete", "web", "s")
    copy = room.project / "output" / "twin" / "clone.qcow2"
    made = (copy.stat().st_ino, copy.stat().st_mtime_ns)
    room.ov("vm", "build", "twin")
    assert (copy.stat().st_ino, copy.stat().st_mtime_ns) == made
    snapshot(room, 3)
    why = room.ov("why", "copy:twin")
    assert "snapshot s of web" in why, why
    room.ov("vm", "build", "twin")
    assert has(room, 3)

    room.ov("vm", "create", "twin", "--no-start")
    twin = json.loads((room.data / "vm" / "ov-twin" / "instance.json").read_text())
    assert not [key for key in ("uuid", "mac", "instance_id") if twin[key] == room.record()[key]]
    room.ov("vm", "destroy", "--disk", "web")
    room.ov("vm", "build", "twin")
    assert has(room, 3)
    qemu_img("check", "-q", room.data / "vm" / "ov-twin" / "disk.qcow2")
    room.ov("vm", "destroy", "--disk", "twin")


def test_declared_by_the_verb(room: Room) -> None:
    """The entry comes to the end of vms.yml, with a snapshot of its own if none is named; all of it can be repeated."""
    room.ov("vm", "create", "web", "--no-start")
    put(room, 4)
    file = room.project / "vms.yml"
    file.write_text("# ours\nvms:\n" + "".join(f"  {name}: {json.dumps(vm)}\n" for name, vm in vms(room).items()))
    before = file.read_text()
    assert room.ov("vm", "clone", "third", "--from", "web", "--dry-run").count("from_snapshot: for-third") == 1
    assert file.read_text() == before and "for-third" not in room.ov("vm", "snapshot", "list", "web")
    said = room.ov("vm", "clone", "third", "--from", "web", "--build")
    assert "web: snapshot for-third made" in said and "output/third/qcow2/disk.qcow2" in said
    added = "  third:\n    source:\n      kind: clone\n      from_vm: web\n      from_snapshot: for-third\n"
    assert file.read_text() == before + added
    put(room, 5)
    assert "is a clone of web at for-third already" in room.ov("vm", "clone", "third", "--from", "web")
    said = room.ov("vm", "clone", "fourth", "--from", "third@x", code=2)
    assert "third is not created yet" in said
    room.ov("vm", "clone", "fourth", "--from", "web@for-third", "--cloud-init-clean")
    assert "cloud_init_clean: true" in file.read_text()
    assert "no snapshot nope" in room.ov("vm", "clone", "fifth", "--from", "web@nope", code=2)
    assert "there is a VM 'web' already" in room.ov("vm", "clone", "web", "--from", "web", code=2)
    assert "'B a' is not a VM name" in room.ov("vm", "clone", "B a", "--from", "web", code=2)
    assert "no VM is named" in room.ov("vm", "clone", "fifth", "--from", "web@", code=2)
    assert file.read_text().count("  fifth") == 0
    room.ov("vm", "destroy", "--disk", "web")


def vms(room: Room) -> dict[str, object]:
    return dict(json.loads((room.project / "vms.yml").read_text())["vms"])


@pytest.fixture
def quick(room: Room) -> Iterator[Forks]:
    room.ov("vm", "create", "web", "--no-start")
    with forks(room) as made:
        yield made


def test_killed(room: Room, quick: Forks) -> None:
    """The next build makes the clone, and leaves nothing half-made; the other VM's files stay as they are."""
    snapshot(room, 1)
    before = room.files()
    killed = 0
    for number in range(1, STRIKES + 1):
        output = room.project / "output" / "twin"
        code, said = quick.call(number * 2, "vm", "build", "twin")
        assert code == -9, f"{number}: {code} {said}"
        killed += 1
        quick.ov("vm", "build", "twin")
        assert has(room, 1) and room.files().items() >= before.items(), number
        left = [path.name for path in output.rglob("*") if path.name.startswith(".") or ".part" in path.name]
        assert left == [], number
        attempt("rm", "-rf", output, timeout=SECONDS)
    assert killed == STRIKES


def test_the_verb_is_killed(room: Room, quick: Forks) -> None:
    """Repeated, it comes to its end: one snapshot, one entry."""
    kept, file = room.project.parent / "kept", room.project / "vms.yml"
    file.write_text("vms:\n" + "".join(f"  {name}: {json.dumps(vm)}\n" for name, vm in vms(room).items()))
    before = file.read_text()
    attempt("cp", "-a", room.folder, kept, timeout=SECONDS)
    killed = 0
    for number in range(1, STRIKES + 1):
        code, said = quick.call(number, "vm", "clone", "third", "--from", "web")
        assert code == -9, f"{number}: {code} {said}"
        killed += 1
        quick.ov("vm", "clone", "third", "--from", "web")
        assert file.read_text().startswith(before) and file.read_text().count("from_snapshot: for-third") == 1
        listed = quick.ov("vm", "snapshot", "list", "web")
        assert listed.count(" for-third ") == 1, (number, listed)
        qemu_img("check", "-q", room.folder / "disk.qcow2")
        assert [path.name for path in room.project.rglob("*.part*")] == []
        attempt("rm", "-rf", room.folder, timeout=SECONDS)
        attempt("cp", "-a", kept, room.folder, timeout=SECONDS)
        file.write_text(before)
    assert killed == STRIKES

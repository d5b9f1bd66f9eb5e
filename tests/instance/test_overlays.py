"""States of a disk: kept while the VM runs, gone back to, and killed in between, by both backends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.backends.qemu.qmp import connect
from tests.support.programs import attempt, qemu_img, qemu_io
from tests.support.rooms import Room, libvirt_room, qemu_room
from tests.support.session import session_user

pytestmark = pytest.mark.slow
SECONDS = 120.0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        yield made


def keeping(room: Room, number: int, action: str, label: str) -> str | None:
    """See :mod:`tests.instance.keeping`; None if it was killed."""
    at = room.words.index("-c")
    words = [*room.words[:at], "-m", "tests.instance.keeping", str(number), action, label]
    done = attempt(*words, cwd=room.project, env=room.env, timeout=SECONDS)
    assert done.returncode in ({0, -9, 137} if number else {0}), done.stderr
    return None if done.returncode else done.stdout


def labels(said: str | None) -> list[str]:
    assert said is not None
    return said.splitlines()[-1].split()


def calls(said: str | None) -> int:
    found = re.search(r"calls: (\d+)", said or "")
    assert found is not None, said
    return int(found[1])


def put(room: Room, number: int) -> None:
    """The guest of the running VM writes something: 64 KiB of the value NUMBER, at NUMBER times 64 KiB."""
    command = f'"write -P {number} {64 * number}k 64k"'
    if room.backend == "libvirt":
        words = ("virsh", "-q", "-c", "qemu:///session", "qemu-monitor-command", "--hmp", "ov-web")
        line = f"qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend {command}"
        at = room.words.index("-c") - 1
        said = attempt(*room.words[:at], *words, line, env=room.env, timeout=SECONDS).stdout
    else:
        with connect(Path(room.record()["sockets"]) / "qmp.sock", room.qemus()[0]) as qmp:
            line = f"qemu-io -d /machine/peripheral/disk0/virtio-backend {command}"
            said = str(qmp.execute("human-monitor-command", **{"command-line": line}))
    assert not said.strip() or "wrote 65536/65536" in said, said


def has(room: Room, numbers: range) -> bool:
    """Whether the disk of the VM, which is off, has what was written by these numbers, and nothing of the next one."""
    disk = room.folder / "disk.qcow2"
    qemu_img("check", "-q", disk)
    reads = [word for number in numbers for word in ("-c", f"read -P {number} {64 * number}k 64k")]
    nothing = ("-c", f"read -P 0 {64 * numbers.stop}k 64k")
    said = attempt("qemu-io", "-r", "-f", "qcow2", *reads, *nothing, disk, timeout=SECONDS).stdout
    return "failed" not in said and said.count("read 65536/65536") == len(numbers) + 1


def has_open(room: Room) -> bool:
    """Whether QEMU has the disk open, and all kept files below it."""
    (pid,) = room.qemus()
    wanted = {path.stat().st_ino for path in (*room.folder.glob("disk.*.qcow2"), room.folder / "disk.qcow2")}
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink()).removesuffix(" (deleted)")
        if target.endswith(".qcow2") and Path(target).parent == room.folder and "base-" not in target:
            found.add(entry.stat().st_ino)
    return found >= wanted


def check_states(room: Room) -> None:
    """Three states of a running VM; then it is off, and goes back to the second and to the first."""
    room.ov("vm", "create", "web")
    pid = room.qemus()
    for number, label in enumerate(("one", "two", "three"), 1):
        put(room, number)
        assert labels(keeping(room, 0, "keep", label)) == ["one", "two", "three"][:number]
        assert has_open(room), label
    put(room, 4)
    assert room.qemus() == pid
    assert "nothing to do" in room.ov("vm", "create", "web"), "the definition is as it was"
    room.ov("vm", "stop", "--force", "web")
    assert has(room, range(1, 5))
    assert labels(keeping(room, 0, "back", "two")) == ["one", "two"]
    assert has(room, range(1, 3))
    room.ov("vm", "start", "web")
    put(room, 3)
    assert labels(keeping(room, 0, "keep", "other")) == ["one", "two", "other"]
    room.ov("vm", "stop", "--force", "web")
    assert has(room, range(1, 4))
    assert labels(keeping(room, 0, "back", "one")) == ["one"] and has(room, range(1, 2))
    files = sorted(path.name for path in room.folder.glob("disk*"))
    assert files == ["disk.1.qcow2", "disk.qcow2"]
    info = json.loads(qemu_img("info", "--output=json", room.folder / "disk.qcow2").stdout)
    assert info["backing-filename"] == "disk.1.qcow2"


def test_states(room: Room) -> None:
    check_states(room)
    room.ov("vm", "start", "web")
    at = room.words.index("-c")
    words = [*room.words[:at], "-m", "tests.instance.keeping", "0", "back", "one"]
    done = attempt(*words, cwd=room.project, env=room.env, timeout=SECONDS)
    assert done.returncode and "RefusedError: web is running" in done.stderr
    room.ov("vm", "destroy", "--disk", "web")
    assert not room.folder.exists()


@pytest.mark.xdist_group("libvirt")
def test_states_by_libvirt() -> None:
    with session_user() as user, libvirt_room(user) as room:
        check_states(room)


def test_a_fresh_disk_has_no_states(room: Room) -> None:
    room.ov("vm", "create", "web", "--no-start")
    keeping(room, 0, "keep", "one")
    (room.folder / "disk.qcow2").unlink()
    room.ov("vm", "create", "web", "--no-start")
    assert [path.name for path in room.folder.glob("disk*")] == ["disk.qcow2"]
    assert not (room.folder / "overlays.json").exists()


def test_keeping_killed(room: Room) -> None:
    """The VM goes on; what it writes afterwards is on its disk, and the next state is whole."""
    room.ov("vm", "create", "web")
    total = calls(keeping(room, 0, "keep", "first"))
    assert total >= 15
    strikes = [*range(1, total + 1)] * 2
    for number, strike in enumerate(strikes[:20], 1):
        keeping(room, strike, "keep", f"k{number}")
        put(room, number)
        if number % 5 == 0:
            room.ov("vm", "stop", "--force", "web")
            assert has(room, range(1, number + 1)), strike
            room.ov("vm", "start", "web")
    assert labels(keeping(room, 0, "keep", "last"))[-1] == "last"
    room.ov("vm", "stop", "--force", "web")
    keeping(room, 0, "back", "last")
    assert has(room, range(1, 21))


def test_an_answer_is_lost(room: Room) -> None:
    """The VM writes to the new overlay although the verb failed: nothing of it is lost."""
    room.ov("vm", "create", "web")
    put(room, 1)
    at = room.words.index("-c")
    words = [*room.words[:at], "-m", "tests.instance.keeping", "0", "lose", "one"]
    done = attempt(*words, cwd=room.project, env=room.env, timeout=SECONDS)
    assert done.returncode == 1 and "QEMU does not answer" in done.stderr
    put(room, 2)
    assert labels(keeping(room, 0, "keep", "two")) == ["two"]
    put(room, 3)
    room.ov("vm", "stop", "--force", "web")
    assert has(room, range(1, 4))
    keeping(room, 0, "back", "two")
    assert has(room, range(1, 3))


def test_going_back_killed(room: Room) -> None:
    """Repeated, it comes to its end; until then the disk is one of the two."""
    room.ov("vm", "create", "web", "--no-start")
    disk = room.folder / "disk.qcow2"
    qemu_io("-f", "qcow2", "-c", "write -P 1 64k 64k", disk)
    keeping(room, 0, "keep", "one")
    total = 0
    for strike in [0, *range(1, 21)]:
        qemu_io("-f", "qcow2", "-c", "write -P 2 128k 64k", disk)
        keeping(room, 0, "keep", "two")
        said = keeping(room, strike, "back", "one")
        total = total or calls(said)
        assert has(room, range(1, 2)) or has(room, range(1, 3)), strike
        assert labels(keeping(room, 0, "back", "one")) == ["one"], strike
        assert has(room, range(1, 2)), strike
        assert sorted(path.name for path in room.folder.glob("disk*")) == ["disk.1.qcow2", "disk.qcow2"], strike
    assert total >= 15

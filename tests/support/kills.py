"""Verbs that are killed, and the next one that ends what they left: for both backends."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.rooms import Room

CREATE = ("vm", "create", "web")
DESTROY = ("vm", "destroy", "web")
REMOVE = ("vm", "destroy", "--disk", "web")


def struck(room: Room, number: int, *words: str) -> str:
    """Run ``ov`` with a kill before its call ``number``; what it said. Number 0: to its end, counting."""
    at = room.words.index("-c")
    argv = [*room.words[:at], "-m", "tests.instance.strikes", str(number)]
    made = Room(room.backend, room.project, room.data, argv, room.env)
    with made.start(*words) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode in ({0} if number == 0 else {0, -9, 137}), out + err
    return out + err


def calls(room: Room, *words: str) -> int:
    found = re.search(r"calls: (\d+)", struck(room, 0, *words))
    assert found is not None
    return int(found[1])


def spread(total: int, count: int, first: int = 1) -> list[int]:
    """So many numbers from ``first`` to ``total``, evenly."""
    return sorted({first + (total - first) * step // max(count - 1, 1) for step in range(count)})


def check_create(room: Room, count: int) -> int:
    """Killed while it makes the VM: the next create makes it, once. Returns how many strikes there were."""
    total = calls(room, *CREATE)
    assert len(room.qemus()) == 1
    room.ov(*REMOVE)
    numbers = spread(total, count)
    for number in numbers:
        struck(room, number, *CREATE)
        room.ov(*CREATE)
        assert len(room.qemus()) == 1, number
        assert room.vm()["state"] == "running", number
        room.ov(*REMOVE)
        check_nothing(room, number)
    return len(numbers)


def check_update(room: Room, count: int) -> int:
    """Killed while it changes a VM that has data: nothing of it is lost."""
    room.ov(*CREATE, "--no-start", "--cpus", "1")
    room.mark()
    identity = {key: room.record()[key] for key in ("uuid", "mac", "instance_id", "built")}
    numbers = spread(calls(room, *CREATE, "--no-start", "--cpus", "2"), count)
    for number in numbers:
        struck(room, number, *CREATE, "--no-start", "--cpus", str(1 + number % 2), "--ram", f"{128 + number}M")
        room.ov(*CREATE, "--no-start")
        assert room.marked(), number
        assert {key: room.record()[key] for key in identity} == identity, number
    room.ov(*CREATE)
    assert len(room.qemus()) == 1
    room.ov(*REMOVE)
    check_nothing(room, 0)
    return len(numbers)


def check_destroy(room: Room, count: int) -> int:
    """Killed while it undefines a running VM: the next destroy ends it, and the disk is there."""
    room.ov(*CREATE, "--no-start")
    room.mark()
    room.ov(*CREATE)
    numbers = spread(calls(room, *DESTROY), count)
    for number in numbers:
        room.ov(*CREATE)
        struck(room, number, *DESTROY)
        room.ov(*DESTROY)
        assert room.qemus() == [] and room.vm()["state"] == "not defined" and room.marked(), number
    room.ov(*REMOVE)
    check_nothing(room, 0)
    return len(numbers)


def check_remove(room: Room, count: int) -> int:
    """Killed while it removes all: another one, a create or ``ov gc`` ends it."""
    room.ov(*CREATE)
    numbers = spread(calls(room, *REMOVE), count)
    for turn, number in enumerate(numbers):
        room.ov(*CREATE)
        struck(room, number, *REMOVE)
        if turn % 3 == 2:
            room.ov(*CREATE, "--no-start")
        if turn % 3 == 1:
            room.ov("gc")
        room.ov(*REMOVE)
        check_nothing(room, number)
    return len(numbers)


def check_nothing(room: Room, number: int) -> None:
    """Nothing runs, nothing is listed, no file is left; of locks only the empty files."""
    assert room.qemus() == [], number
    assert room.helpers() == [], number
    assert "there are no VMs" in room.ov("vm", "list", "-a"), number
    left = [path for path in room.data.rglob("*") if path.is_file() and not is_lock(path)]
    assert left == [], number
    assert not any((room.data / "vm").iterdir()), number


def is_lock(path: Path) -> bool:
    return path.name == "ports.lock" or path.parent.name == "locks"

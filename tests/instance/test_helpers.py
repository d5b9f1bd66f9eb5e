"""What runs beside QEMU, when a start is killed before there is a QEMU: gc and the next verb end it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rooms import Room, declare, qemu_room

pytestmark = pytest.mark.slow
TPM = {"devices": {"tpm": [{"model": "tpm-crb", "backend": {"type": "emulator", "version": "2.0"}}]}}
KILLED = """import os, signal, sys
from ovtasks.backends.qemu import start
start.spawn = lambda *words: os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = 'ov'
from ovtasks.cli import main
sys.exit(main())
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        declare(made, tmp_path / "empty.qcow2", libvirt=TPM)
        yield made


def orphaned(room: Room, *words: str) -> list[Path]:
    """Run a verb that is killed when the TPM emulator runs and QEMU is about to; returns the emulator's pid files."""
    killed = Room(room.backend, room.project, room.data, [sys.executable, "-c", KILLED], room.env)
    killed.ov(*words, code=-9)
    assert room.qemus() == [] and [Path(words[0]).name for words in room.helpers()] == ["swtpm"]
    return list(room.folder.glob("swtpm.pid"))


@pytest.mark.parametrize("noted", [True, False])
def test_of_a_create_that_was_killed(room: Room, noted: bool) -> None:
    (pid_file,) = orphaned(room, "vm", "create", "web")
    if not noted:  # killed a moment earlier
        pid_file.unlink()
    assert str(pid_file) in room.ov("gc", "--dry-run") and len(room.helpers()) == 1
    assert pid_file.exists() is noted
    assert str(pid_file) in room.ov("gc")
    assert room.helpers() == [] and not pid_file.exists()
    room.ov("vm", "start", "web")
    assert str(pid_file) not in room.ov("gc") and len(room.helpers()) == 2, "it is in use"
    room.ov("vm", "destroy", "--disk", "web")
    assert room.helpers() == []


@pytest.mark.parametrize("words", [("start",), ("create",), ("destroy",), ("stop", "--force")], ids=" ".join)
def test_the_next_verb(room: Room, words: tuple[str, ...]) -> None:
    room.ov("vm", "create", "web", "--no-start")
    (pid_file,) = orphaned(room, "vm", "start", "web")
    pid_file.unlink()
    room.ov("vm", *words, "web")
    assert [Path(line[0]).name for line in room.helpers()].count("swtpm") == len(room.qemus())
    assert len(room.qemus()) == (words[0] in {"start", "create"})

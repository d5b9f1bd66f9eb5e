"""A whole life by libvirt's session: what is lost comes back, kills leave nothing, the console ends clean."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.kills import check_create, check_destroy, check_remove, check_update
from tests.support.lost import check, check_nothing_to_do, check_verbs
from tests.support.programs import call
from tests.support.rooms import Room, libvirt_room
from tests.support.session import SessionUser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]
SECONDS = 60.0


@pytest.fixture
def room(user: SessionUser) -> Iterator[Room]:
    with libvirt_room(user) as made:
        yield made


LOST = [
    *(("record", True), ("record-cut", False), ("record-and-owner", True), ("record-and-machine", True)),
    *(("only-disk-and-keys", True), ("only-disk-and-keys", False)),
]


@pytest.mark.parametrize(("loss", "running"), LOST)
def test_the_record_comes_back(loss: str, running: bool, room: Room) -> None:
    check(room, loss, running=running)


def test_every_verb_finds_it(room: Room) -> None:
    check_verbs(room)


def test_a_second_create_writes_nothing(room: Room) -> None:
    check_nothing_to_do(room)


def test_killed_creates(room: Room) -> None:
    assert check_create(room, 5) + check_update(room, 3) >= 8


def test_killed_destroys(room: Room) -> None:
    assert check_destroy(room, 3) + check_remove(room, 4) >= 7


def test_suspend_resume_reset(room: Room) -> None:
    room.ov("vm", "create", "web")
    pid = room.vm()["pid"]
    assert "web: suspended" in room.ov("vm", "suspend", "web") and room.vm()["state"] == "paused"
    assert "is suspended already" in room.ov("vm", "suspend", "web")
    assert "web: running" in room.ov("vm", "resume", "web") and room.vm()["state"] == "running"
    assert "web: reset" in room.ov("vm", "reset", "web")
    assert (room.vm()["state"], room.vm()["pid"]) == ("running", pid)
    room.ov("vm", "stop", "--force", "web")
    assert "web is not running" in room.ov("vm", "reset", "web", code=1)


def virsh(user: SessionUser, *words: str) -> str:
    done = user.run("virsh", "-q", "-c", "qemu:///session", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_definition_without_its_folder(room: Room, user: SessionUser) -> None:
    """Somebody removed the folder by hand: gc undefines what does not run, and nobody else's."""
    room.ov("vm", "create", "web", "--no-start")
    call("rm", "-r", room.folder)
    dry = room.ov("gc", "--dry-run")
    assert "definition of a VM whose folder is gone" in dry and "ov-web" in virsh(user, "list", "--all")
    room.ov("gc")
    assert "ov-web" not in virsh(user, "list", "--all")


def on_terminal(room: Room, *, keys: bytes = b"", number: int = 0) -> tuple[int, bytes]:
    """``ov vm console web`` on a terminal, with keys typed or a signal sent; exit status and all that it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(room.project)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests
        os.execvpe(room.words[0], [*room.words, "vm", "console", "web"], room.env)
    said = b""
    sent = False
    end = time.monotonic() + SECONDS
    while (time.monotonic() < end and select.select([terminal], [], [], 1.0)[0]) or not sent:
        try:
            data = os.read(terminal, 4096) if select.select([terminal], [], [], 0.1)[0] else b""
        except OSError:
            break
        said += data
        if b"connected to" in said and not sent:
            time.sleep(0.5)
            sent = True
            if keys:
                os.write(terminal, keys)
            else:
                os.kill(pid, number)
        assert time.monotonic() < end, said
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_each_end_of_a_console(room: Room) -> None:
    room.ov("vm", "create", "web")
    code, said = on_terminal(room, keys=b"\x1d")
    assert code == 0 and b"left web" in said and b"Traceback" not in said
    for number in (signal.SIGTERM, signal.SIGHUP):
        code, said = on_terminal(room, number=number)
        assert code == -number and b"Traceback" not in said and b"stopped" not in said
    for ending in ("interrupt", "pipe", "stop"):
        with room.start("vm", "console", "web") as process:
            assert process.stdout is not None and process.stderr is not None
            assert "connected to web" in process.stderr.readline()
            if ending == "interrupt":
                process.send_signal(signal.SIGINT)
            elif ending == "pipe":
                process.stdout.close()
            else:
                room.ov("vm", "stop", "--force", "web")
            code = process.wait(SECONDS)
            rest = process.stderr.read()
        assert (code, "stopped" in rest) == {"interrupt": (130, False), "pipe": (0, False), "stop": (0, True)}[ending]
        assert "Traceback" not in rest and "Exception" not in rest

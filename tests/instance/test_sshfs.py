"""The process that serves sshfs mounts: it lives as long as its VM, however commands end. The guest is a real sshd."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import VmState, VmStatus
from ovtasks.backends.qemu import process
from ovtasks.errors import OvError
from ovtasks.guest.deadline import Deadline
from ovtasks.guest.ssh_config import known_hosts_line
from ovtasks.instance import sshfs_keeper
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import load
from ovtasks.instance.sshfs import MountState, await_mounted
from ovtasks.instance.sshfs_keeper import States, until_off
from tests.support.kills import check_create, check_remove
from tests.support.pace import until
from tests.support.rooms import Room, declare, libvirt_room, qemu_room
from tests.support.session import session_user
from tests.support.sshd import Sshd, new_sshd


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        for name in ("src", "other"):
            (made.project / name).mkdir()
            (made.project / name / "file").write_text(f"of {name}\n")
        share(room=made, tmp_path=tmp_path, src="/nowhere/src")
        yield made


def share(room: Room, tmp_path: Path, **targets: str) -> None:
    mounts = [{"source": f"./{name}", "target": target, "transport": "sshfs"} for name, target in targets.items()]
    declare(room, tmp_path / "empty.qcow2", mounts=mounts)


def keeper(room: Room) -> int | None:
    found = process.find_anywhere(room.folder / "sshfs.pid")
    return found.pid if found is not None else None


def mounts(room: Room) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = room.vm()["mounts"]
    return found


@pytest.mark.slow
def test_it_lives_as_long_as_the_vm(room: Room) -> None:
    said = room.ov("vm", "create", "web")
    assert "mounts /nowhere/src by sshfs; the host's user has the files as the login there" in said
    assert "the guest must have it; this host serves the folders while the VM runs" in said
    first = keeper(room)
    assert first is not None, "it outlives the command"
    (one,) = mounts(room)
    assert (one["transport"], one["target"], one["mounted"]) == ("sshfs", "/nowhere/src", False)
    assert "not mounted" in room.ov("vm", "status", "web")
    for words in (("create",), ("start",)):
        room.ov("vm", *words, "web")
        assert keeper(room) == first, "one is enough"
    room.ov("gc")
    assert keeper(room) == first
    os.kill(first, signal.SIGKILL)
    until("it is gone", lambda: keeper(room) is None)
    assert "nobody serves it; `ov vm start web` does" in str(mounts(room)[0]["why"])
    room.ov("vm", "start", "web")
    second = keeper(room)
    assert second not in {None, first}
    (room.folder / "sshfs.pid").unlink()  # as a start leaves it that was killed at once
    room.ov("vm", "start", "web")
    assert keeper(room) == second and int((room.folder / "sshfs.pid").read_text()) == second
    room.ov("vm", "stop", "--force", "web")
    assert keeper(room) is None and not list(room.folder.glob("sshfs.[jp]*"))
    room.ov("vm", "start", "web")
    (qemu,) = room.qemus()
    os.kill(qemu, signal.SIGKILL)
    until("it sees the end of the VM", lambda: keeper(room) is None)


@pytest.mark.slow
def test_one_that_missed_the_end_of_its_vm(room: Room) -> None:
    room.ov("vm", "create", "web")
    for end in (("gc",), ("vm", "start", "web"), ("vm", "destroy", "--disk", "web")):
        old = keeper(room)
        assert old is not None
        os.kill(old, signal.SIGSTOP)
        for qemu in room.qemus():
            os.kill(qemu, signal.SIGKILL)
        until("QEMU is gone", lambda: not room.qemus())
        if end == ("gc",):
            assert "sshfs.pid" in room.ov("gc", "--dry-run") and keeper(room) == old
        room.ov(*end)
        assert keeper(room) != old
        if end == ("gc",):
            room.ov("vm", "start", "web")
    assert keeper(room) is None and not room.folder.exists()


@pytest.mark.slow
def test_commands_that_are_killed(room: Room) -> None:
    """Nothing is left that the next one does not end."""
    assert check_create(room, 6) >= 6
    assert check_remove(room, 3) >= 3


@pytest.mark.slow
@pytest.mark.xdist_group("libvirt")
def test_by_libvirt() -> None:
    with session_user() as user, libvirt_room(user) as room:
        (room.project / "src").mkdir()
        user.owned(room.project)
        share(room, room.project.parent, src="/nowhere/src")
        room.ov("vm", "create", "web")
        before = keeper(room)
        assert before is not None
        for words in (("gc",), ("vm", "start", "web")):
            room.ov(*words)
            assert keeper(room) == before
        os.kill(before, signal.SIGSTOP)
        for qemu in room.qemus():
            os.kill(qemu, signal.SIGKILL)
        until("QEMU is gone", lambda: room.vm()["state"] != "running")
        assert "sshfs.pid" in room.ov("gc") and keeper(room) is None
        room.ov("vm", "start", "web")
        assert keeper(room) is not None
        room.ov("vm", "stop", "--force", "web")
        assert keeper(room) is None
        room.ov("vm", "start", "web")
        room.ov("vm", "destroy", "--disk", "web")
        assert room.helpers() == [] and not room.folder.exists()


@pytest.mark.slow
def test_who_waits_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it takes too long, that the VM has ended, that the guest has no sshfs, and that nobody serves."""
    monkeypatch.setenv("XDG_DATA_HOME", str(room.data.parent))
    room.ov("vm", "create", "web")
    record = load(Folder(room.folder))
    assert record is not None
    with pytest.raises(
        OvError, match="web: the guest has not mounted /nowhere/src: the guest is not reached"
    ) as caught:
        await_mounted(record, Deadline.after(1), lambda: None)
    assert caught.value.hint == f"more is in {room.folder}/sshfs.log"
    with pytest.raises(OvError, match="the VM is not running: shut off"):
        await_mounted(record, Deadline.after(60), lambda: "shut off")
    now = keeper(room)
    assert now is not None
    os.kill(now, signal.SIGSTOP)
    (room.folder / "sshfs.json").touch(0o600)
    (room.folder / "sshfs.json").write_text('{"ov-mount0": {"mounted": false, "why": "no sshfs", "never": true}}')
    with pytest.raises(OvError, match="/nowhere/src: no sshfs") as caught:
        await_mounted(record, Deadline.after(60), lambda: None)
    assert "install sshfs in the guest" in (caught.value.hint or "")
    (room.folder / "sshfs.json").write_text('{"ov-mount0": {"mounted": true}}')
    await_mounted(record, Deadline.after(60), lambda: None)
    os.kill(now, signal.SIGKILL)
    until("it is gone", lambda: keeper(room) is None)
    with pytest.raises(OvError, match="nobody serves it; `ov vm start web` does"):
        await_mounted(record, Deadline.after(0), lambda: None)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


def stand_in(room: Room, server: Sshd) -> None:
    """From now on the VM's SSH server is that one."""
    record = room.record()
    record |= {"ssh_port": server.port, "identity": str(server.folder / "id")}
    record["user"] = pwd.getpwuid(os.geteuid()).pw_name
    (room.folder / "instance.json").write_text(json.dumps(record))
    (room.folder / "known_hosts").write_text(known_hosts_line("ov-web", server.host_key()))


@pytest.mark.slow
@pytest.mark.root
def test_what_the_guest_sees(room: Room, server: Sshd, tmp_path: Path) -> None:
    """Mounted, after a reboot again, others after the next create, and gone with the VM."""
    seen = {name: tmp_path / "guest" / name for name in ("src", "other")}
    share(room, tmp_path, src=str(seen["src"]))
    room.ov("vm", "create", "web")
    stand_in(room, server)
    server.start()
    until("it is mounted", lambda: mounts(room)[0]["mounted"])
    assert (seen["src"] / "file").read_text() == "of src\n" and (seen["src"] / "file").stat().st_uid == 1000
    (seen["src"] / "answer").write_text("of the guest")
    assert (room.project / "src/answer").stat().st_uid == os.geteuid()
    server.stop()
    until("the guest is off", lambda: not mounts(room)[0]["mounted"])
    until("it is unmounted", lambda: not os.path.ismount(seen["src"]))
    server.start()
    until("it is mounted again", lambda: mounts(room)[0]["mounted"])
    share(room, tmp_path, other=str(seen["other"]))
    assert "mounts by sshfs differ" in room.ov("plan", "create:web")
    assert "mounts by sshfs changed" in room.ov("vm", "create", "web")
    stand_in(room, server)
    until("the other is mounted", lambda: mounts(room)[0]["mounted"] and mounts(room)[0]["target"].endswith("other"))
    assert (seen["other"] / "file").read_text() == "of other\n"
    until("the first is not any more", lambda: not os.path.ismount(seen["src"]))
    room.ov("vm", "stop", "--force", "web")
    until("nothing is", lambda: not os.path.ismount(seen["other"]))


def test_the_state_of_a_vm_that_is_destroyed(tmp_path: Path) -> None:
    """Its folder does not come back."""
    folder = Folder(tmp_path / "ov-web")
    folder.path.mkdir(mode=0o700)
    states = States(folder)
    states.note("ov-mount0", MountState(why="not yet"))
    assert json.loads((folder.path / "sshfs.json").read_text())["ov-mount0"]["why"] == "not yet"
    (folder.path / "sshfs.json").unlink()
    folder.path.rmdir()
    states.note("ov-mount0", MountState(mounted=True))
    assert not folder.path.exists() and existing(folder) is None


def test_a_vm_whose_process_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of libvirt's system daemon: it is asked for its state."""
    states = [VmState.RUNNING, VmState.RUNNING, VmState.UNKNOWN, VmState.PAUSED, VmState.STOPPED]
    monkeypatch.setattr(sshfs_keeper, "status", lambda record: VmStatus(states.pop(0)))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    until_off(None)  # type: ignore[arg-type]
    assert states == []

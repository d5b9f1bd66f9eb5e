"""ov update by plain QEMU, without a guest: the old VM is kept aside, and put back unless the new one gets ready."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.processes import start
from tests.support.programs import FailedError, attempt
from tests.support.rooms import Room, declare, libvirt_room, qemu_room
from tests.support.session import session_user
from tests.support.workbench import DODO, DOIT

pytestmark = pytest.mark.slow

SAME = ("uuid", "mac", "ssh_port", "overrides", "identity")


def prepared(room: Room) -> Room:
    """A running VM ``web`` of two processors that may be destroyed."""
    (room.project / "deploy.yml").write_text("deploy:\n  vm:web: {disposable: true}\n")
    room.ov("vm", "create", "web", "--cpus", "2", "--no-start")
    room.mark()
    room.ov("vm", "create", "web")
    return room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with qemu_room(tmp_path) as made:
        yield prepared(made)


def update(room: Room, function: str, *words: str) -> tuple[int, str]:
    """``ov update web`` with a kill before ``function``; its status, and what it said."""
    return struck(room, function, "update", "web", "--timeout", "0", *words)


def struck(room: Room, function: str, *words: str) -> tuple[int, str]:
    at = room.words.index("-c")
    argv = [*room.words[:at], "-m", "tests.deploy.struck", function, *words]
    with start(*argv, cwd=room.project, env=room.env) as process:
        out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out + err


def nothing_aside(room: Room) -> bool:
    names = [path.name for path in (room.data / "vm").iterdir()]
    return names == ["ov-web"] and not (room.folder / "replaced.json").exists()


def is_old(room: Room, before: dict[str, object]) -> bool:
    """Whether the VM is the one from before, and the only one that runs."""
    return (
        len(room.qemus()) == 1
        and room.vm()["state"] == "running"
        and room.marked()
        and nothing_aside(room)
        and {**room.record(), "log_start": 0} == {**before, "log_start": 0}
    )


def test_done_and_failed(room: Room) -> None:
    before, key = room.record(), (room.folder / "ssh_host_ed25519_key.pub").read_text()
    status, said = update(room, "!")
    assert status == 1 and "a layer failed" in said and "as it was before" in said, said
    assert is_old(room, before)
    assert (room.folder / "deploy.log").read_text() == "a layer failed\n"

    status, said = update(room, "-", "--json")
    assert status == 0, said
    facts = json.JSONDecoder().raw_decode(said)[0]
    assert facts["replaced"] is True and facts["seconds"] > 0 and facts["instance"] is None
    after = room.record()
    assert {one: after[one] for one in SAME} == {one: before[one] for one in SAME}
    assert after["instance_id"] != before["instance_id"] and nothing_aside(room)
    with pytest.raises(FailedError, match="Pattern verification failed"):
        room.marked()
    assert len(room.qemus()) == 1 and (room.folder / "ssh_host_ed25519_key.pub").read_text() != key
    assert (room.folder / "known_hosts").read_text().split()[2] in (
        room.folder / "ssh_host_ed25519_key.pub"
    ).read_text()


def test_what_stops_it(room: Room) -> None:
    """A build that fails leaves the VM running, untouched; Ctrl-C puts it back; one that was off is off again."""
    before, pid = room.record(), room.qemus()
    image = room.project.parent / "empty.qcow2"
    declare(room, image.with_name("missing.qcow2"))
    status, said = update(room, "-")
    assert status == 2 and "missing.qcow2" in said and "stopped" not in said, said
    assert room.qemus() == pid and room.record() == before and nothing_aside(room)
    declare(room, image)

    dry = room.ov("update", "web", "--dry-run", "--reuse-image")
    assert room.qemus() == pid and nothing_aside(room) and "power the guest off" in dry
    assert f"port {before['ssh_port']} --cpus 2 stay" in dry, dry

    status, said = update(room, "^C")
    assert status == 130 and "as it was before" in said, said
    assert is_old(room, before)

    room.ov("vm", "stop", "--force", "web")
    status, said = update(room, "!")
    assert status == 1 and room.qemus() == [] and room.marked() and nothing_aside(room), said
    assert room.vm()["state"] == "stopped"


def test_one_of_several(room: Room) -> None:
    """Another instance of the VM is not touched, nor is its flag enough; a VM that does not exist is made."""
    before, pid = room.record(), room.qemus()
    assert update(room, "-", "-i", "dev")[0] == 3
    (room.project / "deploy.yml").write_text("deploy:\n  vm:web/dev: {disposable: true}\n")
    status, said = update(room, "-", "-i", "dev", "--json")
    assert status == 0 and json.JSONDecoder().raw_decode(said)[0]["replaced"] is False, said
    first = json.loads((room.data / "vm" / "ov-web-dev" / "instance.json").read_text())
    status, said = update(room, "-", "-i", "dev", "--json")
    assert status == 0 and json.JSONDecoder().raw_decode(said)[0]["replaced"] is True, said
    second = json.loads((room.data / "vm" / "ov-web-dev" / "instance.json").read_text())
    assert second["ssh_port"] == first["ssh_port"] != before["ssh_port"]
    assert second["instance_id"] != first["instance_id"]
    assert room.record() == before and room.qemus() == pid and room.marked()
    room.ov("vm", "destroy", "--disk", "web", "-i", "dev")


PHASES = {
    "instance/power:stop": ("vm", "status", "web"),
    "instance/destroy:finish_removal": ("vm", "start", "web"),
    "backends/qemu/__init__:undefine": ("gc",),
    "instance/aside:_successor": ("vm", "create", "web"),
    "instance/create:create": ("deploy", "plan", "vm:web"),
    "instance/disk:make_disk": ("vm", "stop", "--force", "web"),
    "instance/power:start_machine": ("vm", "list"),
    "instance/aside:drop_aside": ("gc",),
}
"""A function that is not reached, and the verb that ends what was left."""


def check_killed(room: Room, phases: Mapping[str, tuple[str, ...]]) -> None:
    before = room.record()
    for function, verb in phases.items():
        status, said = update(room, function)
        assert status in {-signal.SIGKILL, 128 + signal.SIGKILL}, (function, said)
        said = room.ov(*verb)
        if verb[0] == "deploy":  # a plan changes nothing
            assert not nothing_aside(room)
            assert update(room, "!")[0] == 1
        if verb[1:2] == ("stop",):
            assert room.qemus() == []
            room.ov("vm", "start", "web")
        assert is_old(room, before), (function, said)


def test_killed(room: Room) -> None:
    check_killed(room, PHASES)


def test_killed_while_it_is_put_back(room: Room) -> None:
    before = room.record()
    assert update(room, "instance/aside:drop_aside")[0] == -signal.SIGKILL
    for function in ("instance/destroy:remove_folder", "instance/aside:_restore", "backends/qemu/start:launch"):
        assert struck(room, function, "vm", "status", "web")[0] == -signal.SIGKILL, function
    (room.project / "dodo.py").write_text(DODO)
    done = attempt(*DOIT, "start:web", cwd=room.project, env=room.env)
    assert done.returncode == 0 and "put back as it was before" in done.stdout + done.stderr, done
    assert is_old(room, before)


@pytest.mark.xdist_group("libvirt")
def test_by_libvirt() -> None:
    """Kills while libvirt has no definition, and one of the new VM; then it is made anew."""
    with session_user() as user, libvirt_room(user) as made:
        room = prepared(made)
        before = room.record()
        check_killed(room, {one: PHASES[one] for one in ("instance/aside:_successor", "instance/aside:drop_aside")})
        status, said = update(room, "-")
        assert status == 0 and nothing_aside(room), said
        after = room.record()
        assert {one: after[one] for one in SAME} == {one: before[one] for one in SAME}
        assert after["instance_id"] != before["instance_id"] and len(room.qemus()) == 1

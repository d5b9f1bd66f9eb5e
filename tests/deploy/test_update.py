"""ov update by plain QEMU, without a guest: the old VM is kept aside, and put back unless the new one gets ready."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import start
from tests.support.programs import FailedError
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow

SAME = ("uuid", "mac", "ssh_port", "overrides", "identity")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A running VM ``web`` of two processors that may be destroyed."""
    with qemu_room(tmp_path) as made:
        (made.project / "deploy.yml").write_text("deploy:\n  vm:web: {disposable: true}\n")
        made.ov("vm", "create", "web", "--cpus", "2", "--no-start")
        made.mark()
        made.ov("vm", "create", "web")
        yield made


def update(room: Room, function: str, *words: str) -> tuple[int, str]:
    """``ov update web`` with a kill before ``function``; its status, and what it said."""
    at = room.words.index("-c")
    argv = [*room.words[:at], "-m", "tests.deploy.struck", function, "update", "web", "--timeout", "0", *words]
    with start(*argv, cwd=room.project, env={**room.env, "PYTHONPATH": str(Path(__file__).parents[2])}) as process:
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


PHASES = {
    "instance/power:stop": ("vm", "status", "web"),
    "instance/destroy:finish_removal": ("vm", "start", "web"),
    "backends/qemu/__init__:undefine": ("gc",),
    "instance/aside:_successor": ("vm", "create", "web"),
    "instance/create:create": ("deploy", "plan", "vm:web"),
    "instance/disk:make_disk": ("vm", "stop", "--force", "web"),
    "instance/power:start_machine": ("vm", "status", "web"),
    "instance/aside:drop_aside": ("gc",),
}
"""A function that is not reached, and the verb that ends what was left."""


def test_killed(room: Room) -> None:
    before = room.record()
    for function, verb in PHASES.items():
        status, said = update(room, function)
        assert status == -signal.SIGKILL, (function, said)
        said = room.ov(*verb)
        if verb[0] == "deploy":  # a plan changes nothing
            assert not nothing_aside(room)
            assert update(room, "!")[0] == 1
        if verb[1:2] == ("stop",):
            assert room.qemus() == []
            room.ov("vm", "start", "web")
        assert is_old(room, before), (function, said)

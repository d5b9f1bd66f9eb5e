"""What is lost of an instance, and what must come back: for both backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.support.rooms import Room

KEPT = ("uuid", "mac", "instance_id", "built", "backend", "forwards", "ssh_port", "user", "identity", "vm", "project")
KEYS = ("id_ed25519", "ssh_host_ed25519_key", "known_hosts")


def remove(*names: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return run


def damage(text: str, name: str = "instance.json") -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        (folder / name).write_text(text)

    return run


def both(*actions: Callable[[Path], None]) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        for action in actions:
            action(folder)

    return run


LOSSES: dict[str, Callable[[Path], None]] = {
    "record": remove("instance.json"),
    "record-empty": damage(""),
    "record-cut": lambda folder: damage((folder / "instance.json").read_text()[:150])(folder),
    "record-zeros": damage("\0" * 400),
    "record-list": damage("[]"),
    "record-deep": damage("[" * 20_000),
    "record-and-owner": remove("instance.json", "owner.json"),
    "record-and-owner-damaged": both(damage("{", "owner.json"), remove("instance.json")),
    "record-and-machine": remove("instance.json", "machine.json"),
    "record-and-machine-damaged": both(remove("instance.json"), damage("{}", "machine.json")),
    "record-and-ports": remove("instance.json", "ports.json"),
    "only-disk-and-keys": remove("instance.json", "owner.json", "machine.json", "ports.json"),
}


def check(room: Room, loss: str, *, running: bool) -> None:
    """Create, lose, create: the same VM, the same disk, the same process."""
    room.ov("vm", "create", "web", "--no-start", "--cpus", "2")
    room.mark()
    if running:
        room.ov("vm", "create", "web")
    before, qemus = room.record(), room.qemus()
    secrets = {name: (room.folder / name).read_bytes() for name in KEYS}
    disk = (room.folder / "disk.qcow2").stat().st_ino
    assert len(qemus) == (1 if running else 0)
    LOSSES[loss](room.folder)
    listed = json.loads(room.start("vm", "list", "-a", "--json").communicate()[0])
    assert [(one["domain"], one["state"]) for one in listed] == [("ov-web", "running" if running else "stopped")]
    said = room.ov("vm", "create", "web", "--no-start")
    assert "instance.json" in said and "made again from the rest" in said
    after = room.record()
    free = {"forwards", "ssh_port"} if loss == "only-disk-and-keys" and not running else set()
    assert {key: after.get(key) for key in KEPT if key not in free} == {
        key: before.get(key) for key in KEPT if key not in free
    }
    assert room.qemus() == qemus and room.marked()
    assert (room.folder / "disk.qcow2").stat().st_ino == disk
    assert {name: (room.folder / name).read_bytes() for name in KEYS} == secrets
    if "owner" not in loss and "disk" not in loss:
        assert after["overrides"] == {"cpus": 2}
    room.ov("vm", "start", "web")
    assert len(room.qemus()) == 1
    room.ov("vm", "destroy", "--disk", "web")
    assert not room.folder.exists() and room.qemus() == []


def check_verbs(room: Room) -> None:
    """Each verb finds a running VM without its record; destroy takes all of it away."""
    room.ov("vm", "create", "web")
    (room.folder / "instance.json").unlink()
    assert "is running already" in room.ov("vm", "start", "web")
    room.ov("vm", "stop", "--force", "web")
    assert room.qemus() == []
    room.ov("vm", "start", "web")
    (room.folder / "instance.json").unlink(missing_ok=True)
    assert len(room.qemus()) == 1
    room.ov("vm", "destroy", "--disk", "web")
    assert room.qemus() == [] and not room.folder.exists()
    assert "there are no VMs" in room.ov("vm", "list", "-a")


def check_nothing_to_do(room: Room) -> None:
    """A second create writes nothing, whether the VM runs or not."""
    room.ov("vm", "create", "web", "--no-start")
    for words, said in ((("--no-start",), "web: nothing to do"), ((), "web: started"), ((), "web: nothing to do")):
        before = room.files()
        assert said in room.ov("vm", "create", "web", *words)
        if "nothing" in said:
            assert room.files() == before

"""A clone of a clone: each copy stands alone, so that the VMs below may go in any order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.programs import attempt, qemu_img, qemu_io
from tests.support.rooms import Room, qemu_room

pytestmark = pytest.mark.slow
SECONDS = 120.0


def declare(room: Room) -> None:
    file = room.project / "vms.yml"
    vms = json.loads(file.read_text())
    for name, origin in (("twin", "web"), ("third", "twin")):
        source = {"kind": "clone", "from_vm": origin, "from_snapshot": "s"}
        vms["vms"][name] = {"source": source, "ssh": {"key_source": "generate"}}
    file.write_text(json.dumps(vms), encoding="utf-8")


def put(room: Room, vm: str, value: int, at: str) -> None:
    qemu_io("-f", "qcow2", "-c", f"write -P {value} {at} 64k", room.data / "vm" / f"ov-{vm}" / "disk.qcow2")


def has(disk: Path, value: int, at: str) -> bool:
    words = ("qemu-io", "-r", "-f", "qcow2", "-c", f"read -P {value} {at} 64k", disk)
    said = attempt(*words, timeout=SECONDS).stdout
    return "failed" not in said and "read 65536/65536" in said


def test_each_stands_alone(tmp_path: Path) -> None:
    """The third VM has what the first and the second wrote, and nothing that either wrote after its snapshot."""
    with qemu_room(tmp_path) as room:
        declare(room)
        for number, vm in enumerate(("web", "twin"), 1):
            room.ov("vm", "create", vm, "--no-start")
            put(room, vm, number, f"{number}M")
            room.ov("vm", "snapshot", "create", vm, "s")
            put(room, vm, 9, f"{number}M")
        below = room.files()
        room.ov("vm", "create", "third", "--no-start")
        assert room.files().items() >= below.items()

        records = [json.loads((path / "instance.json").read_text()) for path in (room.data / "vm").glob("ov-*")]
        for key in ("uuid", "mac", "instance_id"):
            assert len({one[key] for one in records}) == 3, key
        keys = {path.read_bytes() for path in (room.data / "vm").glob("ov-*/ssh_host_ed25519_key.pub")}
        assert len(keys) == 3

        for vm in ("web", "twin"):  # each while VMs that began with it are there
            room.ov("vm", "destroy", "--disk", vm)
        disk = room.data / "vm" / "ov-third" / "disk.qcow2"
        qemu_img("check", "-q", disk)
        assert has(disk, 1, "1M") and has(disk, 2, "2M")
        room.ov("vm", "build", "third")
        room.ov("vm", "destroy", "--disk", "third")

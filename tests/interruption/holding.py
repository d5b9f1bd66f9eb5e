"""Tests that make what tests make, and then hold it until a signal comes. test_interruption.py runs them, nobody else.

What stands is said by a file in the folder ``OV_HOLDING``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ovtasks.host.run import run
from tests.support.bridged import Project
from tests.support.bridges import allowed, bridge, dhcp
from tests.support.disks import small_disk
from tests.support.programs import call
from tests.support.session import session_user
from tests.support.user import new_user
from tests.support.workbench import cloud_vm, make_image


def hold(what: str) -> None:
    Path(os.environ["OV_HOLDING"], what).touch()
    time.sleep(300)


def test_bridge(tmp_path: Path) -> None:
    """A user, QEMU, a bridge with its DHCP server, an edited bridge.conf."""
    with session_user() as user, bridge() as name, allowed(name), dhcp(name, tmp_path / "dhcp.log"):
        Project(user, "qemu").ov("vm", "create", "web")
        assert user.pids("qemu-system-x86_64")
        hold("bridge")


def test_libvirt() -> None:
    """A user with a libvirt session and a VM in it."""
    with session_user() as user:
        root = user.home / "p"
        root.mkdir()
        make_image(root / "empty.qcow2")
        fields = {"ram": "128M", "cpus": 1, "backend": "libvirt", "ssh": {"user": "me", "key_source": "generate"}}
        (root / "vms.yml").write_text(json.dumps({"vms": {"web": cloud_vm(root / "empty.qcow2", **fields)}}))
        user.owned(root)
        done = user.ov("vm", "create", "web", cwd=root)
        assert done.returncode == 0, done.stderr
        assert user.pids("libvirtd") and user.pids("qemu-system-x86_64")
        hold("libvirt")


def test_mounts(tmp_path: Path) -> None:
    """A user, a mounted tmpfs, a loop device, a daemon of nobody, a file in /tmp, a build under way."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 20))
    with new_user(subordinate=True), small_disk(tmp_path / "small"):
        device = run(["losetup", "--find", "--show", image]).stdout.strip()
        try:
            call("mktemp")
            call("sh", "-c", "setsid --fork sleep 300 >/dev/null 2>&1")  # that nobody waits for its streams
            Path(os.environ["OV_HOLDING"], "mounts").touch()
            run(["unshare", "--fork", "--pid", "--mount", "sh", "-c", "trap '' TERM; sleep 300; true"])
        finally:
            run(["losetup", "--detach", device])


def test_quick() -> None:
    """The next run."""

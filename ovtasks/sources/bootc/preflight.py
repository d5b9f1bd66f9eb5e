"""What can be known before minutes of work: a way to root, loop devices, kernel modules, udev, free space.

What needs no image is asked before one is pulled or built. Without FAT in the kernel or without udev bootc itself
cannot finish, but only bootc knows whether it needs them: that is said, and not refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.host.modules import can_mount
from ovtasks.host.run import run, which
from ovtasks.values.sizes import MiB, format_size

LOOP = Path("/dev/loop-control")
MODULES = Path("/lib/modules")
UDEV = Path("/run/udev")
_said: set[str] = set()


def check(engine: Engine, folder: Path, image_size: int, disk_size: int, say: Callable[[str], None]) -> None:
    """Everything on this machine; what a podman machine has is its own affair. ``image_size`` 0: not known yet.

    :raises OvError: something is missing, and how to get it.
    """
    if engine.mode is not Mode.MACHINE:
        check_loop(engine)
        for note in doubts():
            if note not in _said:  # several steps ask
                _said.add(note)
                say(note)
    check_space(folder, image_size, disk_size)


def doubts(udev: Path = UDEV) -> list[str]:
    """What bootc will probably miss on this machine."""
    found = []
    if not can_mount("vfat"):
        found.append(
            "the kernel that runs cannot mount FAT, as bootc does with the EFI system partition; as root: modprobe vfat"
        )
    if which("udevadm") is None or not udev.is_dir():
        what = "udevadm is not installed" if which("udevadm") is None else f"{udev} is not there: udev does not run"
        found.append(f"{what}; bootc waits for udev when it has made partitions")
    return found


def check_loop(engine: Engine, control: Path = LOOP, modules: Path = MODULES) -> None:
    """The kernel has loop devices, or a module for them that fits the running kernel."""
    if control.exists():
        return
    release = os.uname().release
    if modules.is_dir() and not (modules / release).is_dir():
        raise OvError(
            f"the kernel that runs ({release}) has no modules any more: it was upgraded",
            hint="reboot, then run it again",
        )
    if which("modprobe"):
        run([*(engine.root or ()), "modprobe", "loop"], check=False)
    if not control.exists():
        raise OvError(f"this machine has no loop devices ({control} is missing)", hint="as root: modprobe loop")


def check_space(folder: Path, image_size: int, disk_size: int) -> None:
    """Room for the raw disk's content and for the qcow2 beside it; each is about as large as the image unpacked."""
    while not folder.is_dir():
        folder = folder.parent
    needed = 2 * min(image_size + 128 * MiB, disk_size)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OvError(
            f"{folder} has {format_size(free - free % MiB)} free; the raw disk and the qcow2 need about "
            f"{format_size(needed - needed % MiB)}",
            hint="free some space (ov gc, podman image prune), or put the project elsewhere",
        )

"""Checks before minutes of work: a way to root, loop devices, kernel modules, udev, free space.

Checks that need no image come before one is pulled or built. bootc usually fails without FAT in the kernel or without
udev, but only bootc knows whether it needs them. So these two are a note, not an error.
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
    """Run all checks of this machine. A podman machine has its own kernel: there only the free space is checked.

    Sizes are in bytes; ``image_size`` 0: not known yet. ``say`` gets the notes, each once in this process.

    :raises OvError: something is missing; the hint says how to get it.
    """
    if engine.mode is not Mode.MACHINE:
        check_loop(engine)
        for note in doubts():
            if note not in _said:  # several steps check
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
    """Check that the kernel has loop devices; load their module if need be.

    :raises OvError: it has none.
    """
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
    """Check that the raw disk's content and the qcow2 fit side by side; each is about as large as the unpacked image.

    :raises OvError: they do not.
    """
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

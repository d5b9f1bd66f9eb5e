"""What can be known before minutes of work: loop devices, kernel modules, free space."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.host.run import run, which
from ovtasks.spec.model import MiB
from ovtasks.spec.sizes import format_size

LOOP = Path("/dev/loop-control")
MODULES = Path("/lib/modules")


def check(engine: Engine, folder: Path, image_size: int, disk_size: int) -> None:
    """Everything on this machine; what a podman machine has is its own affair.

    :raises OvError: something is missing, and how to get it.
    """
    if engine.mode is not Mode.MACHINE:
        check_loop(engine)
    check_space(folder, image_size, disk_size)


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

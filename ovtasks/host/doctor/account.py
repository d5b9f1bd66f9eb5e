"""Checks of what this user may do on this host, and of the free space."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.bridge import bridges, check_bridge
from ovtasks.host.doctor.verdict import TRY, Verdict, broken, missing, note, ok
from ovtasks.host.modules import can_mount
from ovtasks.host.packages import package_hint
from ovtasks.host.run import require, run, which
from ovtasks.host.users import user_name

LOOP = Path("/dev/loop-control")
UDEV = Path("/run/udev")
SUBORDINATE = 65536  # how many user numbers a distribution's files need
LITTLE = 1 << 30  # bytes: a build fails
SCARCE = 10 << 30


def sudo(scratch: Path) -> Verdict:
    """Whether sudo asks for a password."""
    if os.geteuid() == 0:
        return ok("not needed: you are root")
    done = run(["sudo", "-n", "true"], check=False, timeout=TRY)
    if done.returncode == 0:
        return ok("works without a password")
    if "password" in done.stderr:
        return note("asks for a password; only bootc builds use it")
    return note(f"not for you: {' '.join(done.stderr.split())}; only bootc builds use it")


def bridge(scratch: Path) -> Verdict:
    """Which bridges of this host this user's VMs may join."""
    names = bridges()
    problems: list[OvError] = []
    may: list[str] = []
    for name in names:
        try:
            check_bridge(name)
        except OvError as e:
            problems.append(e)
        else:
            may.append(name)
    if may:
        return ok(f"VMs may join {', '.join(may)}")
    if problems:
        return note(f"for network.mode: bridge: {problems[0].message}", problems[0].hint)
    return note("this host has none; network.mode: bridge needs one")


def loop(scratch: Path) -> Verdict:
    """Looks for a free loop device."""
    if not LOOP.exists():
        return missing(f"{LOOP} does not exist; only for bootc builds", "as root: modprobe loop")
    if os.geteuid() != 0:
        return note(f"{LOOP} exists; only root can use it, and only bootc builds do")
    return ok(f"{run(['losetup', '--find'], timeout=TRY).stdout.strip()} is free")


def vfat(scratch: Path) -> Verdict:
    """Whether the kernel can mount FAT: bootc mounts the EFI system partition of the disk that it makes."""
    if can_mount("vfat"):
        return ok("the kernel mounts FAT, or has a module for it")
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        hint = "on the machine itself, as root: modprobe vfat"
    else:
        hint = "as root: modprobe vfat; a kernel without it: ov settings set engine.rootful machine"
    return missing("the kernel that runs cannot mount FAT; only for bootc builds", hint)


def udev(scratch: Path) -> Verdict:
    """Whether udev runs: bootc waits for it after making partitions, and asks it what they are."""
    if which("udevadm") is None:
        return missing("udevadm is not installed; only for bootc builds", package_hint("udevadm"))
    if not UDEV.is_dir():
        return missing(
            f"{UDEV} is not there: udev does not run; only for bootc builds", "systemctl start systemd-udevd"
        )
    done = run(["udevadm", "settle", "--timeout=2"], check=False, timeout=TRY)
    if done.returncode != 0:
        return note(f"udevadm settle: {' '.join(done.stderr.split()) or 'the queue does not get empty'}")
    return ok(f"runs, {which('udevadm')}")


def subordinate(scratch: Path) -> Verdict:
    """Makes a user namespace with subordinate ids, as bootstrap builds and rootless podman do."""
    if os.geteuid() == 0:
        return ok("not needed: you are root")
    require("newuidmap")
    done = run(["unshare", "--user", "--map-root-user", "--map-auto", "true"], check=False, timeout=TRY)
    if done.returncode == 0:
        return ok("a user namespace with them works")
    for name in ("subuid", "subgid"):
        if _count(Path("/etc") / name) < SUBORDINATE:
            return missing(
                f"/etc/{name} gives {user_name()} fewer than {SUBORDINATE}; for bootstrap builds and rootless podman",
                f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user_name()}",
            )
    return broken(" ".join(done.stderr.split()), "user namespaces may be switched off: sysctl user.max_user_namespaces")


def _count(path: Path) -> int:
    """How many ids the file gives this user; subuid(5)."""
    names = {user_name(), str(os.geteuid())}
    try:
        rows = [line.split(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return 0
    return sum(int(row[2]) for row in rows if len(row) == 3 and row[0] in names and row[2].isdigit())


def home(scratch: Path) -> Verdict:
    """Whether other users reach the home folder: the QEMU of libvirt's system daemon runs as another user."""
    folder = Path.home()
    closed = next((place for place in (folder, *folder.parents) if not place.stat().st_mode & 0o001), None)
    if closed is None:
        return ok(f"others may pass through {folder}")
    return note(
        f"others may not pass through {closed}: fine, but a system libvirt could not reach your disks",
        "qemu:///session and QEMU need nothing; for qemu:///system only: setfacl -m u:libvirt-qemu:x",
    )


def ssh(scratch: Path) -> Verdict:
    """The version of the SSH client."""
    program = require("ssh")
    return ok(f"{run([program, '-V'], timeout=TRY).stderr.split(',')[0].strip()}, {which('ssh')}")


def space(folder: Path) -> Callable[[Path], Verdict]:
    """A check of the free space in ``folder``, which need not exist yet."""

    def look(scratch: Path) -> Verdict:
        place = next(place for place in (folder, *folder.parents) if place.is_dir())
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as e:
            return broken(f"nothing can be written in {place}: {e.strerror}", "another place, or its permissions")
        status = os.statvfs(place)
        free = status.f_bavail * status.f_frsize
        detail = f"{free / (1 << 30):.1f} GiB free for {folder}"
        if free < LITTLE:
            return broken(detail, "ov gc removes base images that nobody uses")
        return note(detail, "ov gc removes base images that nobody uses") if free < SCARCE else ok(detail)

    return look

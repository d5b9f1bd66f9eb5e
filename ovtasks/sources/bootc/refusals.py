"""What the installer's refusals mean for the user. The messages are bootc's own (1.1 to 1.16)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ovtasks.containers.trouble import explain as podman_says
from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.run import CommandError
from ovtasks.spec.model import MiB

FULL = 64 * MiB
ROOTFUL = "ov settings get engine.rootful; a rootless podman cannot install a disk"
REPORT = "this is a mistake in ovtasks; please report it with the log"

# pattern, message, hint, and whether the user's spec is to blame
KNOWN: tuple[tuple[str, str, str, bool], ...] = (
    (
        r"/proc/1 is owned by|must be run in the root user namespace",
        "the container is not root on this machine",
        ROOTFUL,
        False,
    ),
    (
        r"user inside the container.*must be root",
        "the image's user is not root",
        "USER root at the Containerfile's end",
        True,
    ),
    (r"executed with full privileges", "the container was not given all rights", ROOTFUL, False),
    (r"--pid=host flag", "the container does not see the machine's processes", ROOTFUL, False),
    (
        r"Loopback mounts .* require host devices",
        "the container does not see the machine's loop devices",
        "the bootc in this image is old (1.1.2): build it from a newer base",
        False,
    ),
    (
        r"inspecting object: no such object",
        "the installer does not find its own image in podman's storage",
        "it looks in /var/lib/containers only: remove graphroot from storage.conf, or copy the image there",
        False,
    ),
    (r"No root filesystem specified", "the installer was told no root file system", REPORT, False),
    (
        r"Parsing root size",
        "the installer does not understand the size of the root file system",
        "root_size: 10G",
        True,
    ),
    (
        r"Unknown transport",
        "the installer does not know the transport",
        "source.target_imgref: registry/name:tag",
        True,
    ),
    (r"Detected existing partitions", "the new disk has partitions already", REPORT, False),
    (
        r"Querying .*: No such file or directory",
        "the disk's file vanished while it was installed",
        "run it again",
        False,
    ),
    (r"Not a block device|Not a regular file", "the installer did not take the disk's file", REPORT, False),
    (r"Reading \S*authorized_keys", "the SSH keys cannot be read by the installer", "check ssh.key_source", True),
    (
        r"[Nn]o space left on device|bigger than the available|does not fit|(?:disk|device) (?:is )?too small",
        "the image does not fit on the disk",
        "enlarge disk_size, or root_size",
        True,
    ),
    (
        r"(?:losetup:|/dev/loop).*(?:No such (?:file|device)|cannot find an unused|not permitted)|LOOP_CTL",
        "no loop device is to be had",
        "as root: modprobe loop; losetup --list shows those in use",
        False,
    ),
    (
        r"unknown filesystem type",
        "the kernel that runs cannot mount the file system of the new disk",
        "reboot if the kernel was upgraded; or as root: modprobe xfs (vfat, ext4, btrfs)",
        False,
    ),
    (
        r"error: unexpected argument|error: invalid value|Usage: bootc",
        "the bootc in this image understands other options",
        REPORT,
        False,
    ),
)


def explain(error: CommandError, folder: Path, log: Path, where: Where) -> OvError:
    """The installer's failure as an error with a next step; ``folder`` is where the disk was made."""
    if shutil.disk_usage(folder if folder.is_dir() else folder.parent).free < FULL:
        hint = f"the raw disk and the qcow2 need room side by side in {folder.parent}: ov gc, podman image prune"
        return OvError(f"the disk became full while {folder.parent.parent.name} was installed", hint=hint)
    for pattern, message, hint, wrong_input in KNOWN:
        if found := re.search(pattern, error.stderr):
            said = next(line for line in error.stderr.splitlines() if found[0].split("\n")[0] in line).strip()
            text = f"{message}\n  | {said}"
            return InputError(text, hint=hint, where=where) if wrong_input else OvError(text, hint=hint)
    explained = podman_says(error)
    if explained is not error:
        return explained
    return OvError(f"the installer failed: {error.message}", hint=f"everything it said: {log}")

"""What the installer and podman refuse becomes an error with a next step. Messages as they were seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.containers import diagnosis
from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, InputError, Where
from ovtasks.host.run import CommandError
from ovtasks.sources.bootc.diagnosis import Sizes, amount, diagnose

WHERE = Where("vms.yml", 2, 3)
HEAD = "error: Installing to disk: "
FULL = "The container must be executed with full privileges (e.g. --privileged flag)"
ROOTLESS = "/proc/1 is owned by 65534, not zero; this command must be run in the root user namespace"
LATE = "tar: ./usr/lib/grub/loopback.mod: Cannot open: No such file or directory"
PARTITIONS = "Creating rootfs: Detected existing partitions on /dev/loop0; use e.g. `wipefs` or --wipe"

# What bootc says → what we say, the next step, whose fault it is (exit code).
INSTALLER = [
    ("Querying /out/n.raw: No such file or directory (os error 2)", "vanished", "run it again", EXIT_FAILED),
    ("Not a block device: /out/n.raw", "did not take the disk's file", "report", EXIT_FAILED),
    ("Not a regular file (to be used via loopback): /dev/loop7", "did not take", "report", EXIT_FAILED),
    ("The user inside the container (currently `core`) must be root", "user is not root", "USER root", EXIT_INPUT),
    (FULL, "not given all rights", "engine.rootful", EXIT_FAILED),
    ("This command must be run with the podman --pid=host flag", "processes", "engine.rootful", EXIT_FAILED),
    (f"{ROOTLESS} (e.g. not rootless podman)", "not root on this machine", "engine.rootful", EXIT_FAILED),
    ("Loopback mounts (--via-loopback) require host devices (-v /dev:/dev)", "loop devices", "newer", EXIT_FAILED),
    ('Container info: inspecting object: no such object: "os"', "own image", "/var/lib/containers", EXIT_FAILED),
    ("No root filesystem specified", "no root file system", "report", EXIT_FAILED),
    ("Reading /output/authorized_keys: No such file or directory", "SSH keys", "key_source", EXIT_INPUT),
    ("Creating rootfs: Parsing root size: invalid digit found in string", "size", "root_size: 10G", EXIT_INPUT),
    ("Unknown transport 'http'", "transport", "target_imgref", EXIT_INPUT),
    (f"{PARTITIONS} if you intend to overwrite", "has partitions already", "report", EXIT_FAILED),
    ("losetup: cannot find an unused loop device", "no loop device", "modprobe loop", EXIT_FAILED),
    ("mount: /run/bootc: unknown filesystem type 'xfs'.", "cannot mount", "reboot", EXIT_FAILED),
    ("tar: usr/lib/x: Cannot write: No space left on device", "does not fit", "disk_size", EXIT_INPUT),
    (f"tar: y: Cannot mkdir: No space left on device\n{LATE}", "does not fit", "disk_size", EXIT_INPUT),
]


@pytest.mark.parametrize(("said", "message", "hint", "code"), INSTALLER)
def test_a_refusal_says_what_to_do(tmp_path: Path, said: str, message: str, hint: str, code: int) -> None:
    error = CommandError(["podman", "run"], 1, f"Digest: sha256:00\n{HEAD}{said}\n")
    found = diagnose(error, tmp_path, WHERE)
    assert message in found.message
    assert said.splitlines()[0] in found.message  # the installer's own words stay
    assert hint in (found.hint or "")
    assert found.exit_code == code
    assert found.where == (WHERE if isinstance(found, InputError) else None)


def test_usage_errors_are_ours(tmp_path: Path) -> None:
    text = "error: unexpected argument '--frob' found\n\nUsage: bootc install to-disk [OPTIONS] <DEVICE>\n"
    found = diagnose(CommandError(["podman"], 2, text), tmp_path, WHERE)
    assert "understands other options" in found.message
    assert "report" in (found.hint or "")


def test_what_is_not_known_shows_its_end_and_where_the_rest_is(tmp_path: Path) -> None:
    found = diagnose(CommandError(["podman"], 1, f"{HEAD}something new"), tmp_path, WHERE)
    assert "something new" in found.message
    assert "the log has the full output" in (found.hint or "")


PODMAN = [
    (
        'Error: command required for rootless mode with multiple IDs: exec: "newuidmap": not found',
        "newuidmap",
        "uidmap",
    ),
    ("lchown /etc/gshadow: invalid argument", "no subordinate", "usermod"),
    ("Error: OCI runtime error: crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted", "runtime", "runc"),
    ("http: server gave HTTP response to HTTPS client", "plain HTTP", "insecure"),
    ("Error: initializing source docker://x: StatusCode: 403, 403 Forbidden", "refuses", "podman login"),
    ("reading manifest v9 in quay.io/x/y: manifest unknown", "no such image", "name"),
    ("dial tcp: lookup registry.invalid: no such host", "cannot be reached", "network"),
    ("Error: invalid reference format", "not an image reference", "registry/name:tag"),
    ("Error: localhost/x: image not known", "not in this podman's storage", "sudo's storage"),
    ("Error: statfs /home/me/vms: no such file or directory", "does not find a folder", "machine init --volume"),
    ("Error: write /var/tmp/x: no space left on device", "disk is full", "prune"),
    ('Error: unknown FS magic on "/run/netns/x": ef53', "damaged or busy", "podman ps"),
    ("Error: unable to connect to Podman socket: dial unix", "machine does not answer", "podman machine start"),
    ("sudo: a password is required", "asks for a password", "engine.rootful"),
]


@pytest.mark.parametrize(("said", "message", "hint"), PODMAN)
def test_podman_too(said: str, message: str, hint: str) -> None:
    found = diagnosis.diagnose(CommandError(["podman"], 125, f"Trying to pull…\n{said}\n"))
    assert message in found.message
    assert said in found.message
    assert hint in (found.hint or "")


def test_podmans_other_words_stay() -> None:
    error = CommandError(["podman"], 125, "Error: something else")
    assert diagnosis.diagnose(error) is error


FREE = "Insufficient free space for containers-storage:localhost/os@sha256:00 "
ESP = "Mounting ESP into composefs root: Mounting /dev/loop12p2 at /tmp/.tmpA: No such device (os error 19)"
UDEV = "Comparing filesystems at /run/udev and /proc/1/root//run/udev: No such file or directory (os error 2)"
SPLIT = "Pulling image into composefs repository: pulling: Invalid splitstream content type"

# What bootc 1.16.9 was heard to say, and what stands in its source.
REAL = [
    (f"{FREE}(available: 525.2 MB required: 671.2 MB)", "needs 671.2 MB, 525.2 MB are free", "disk_size: 1280M", 2),
    (ESP, "cannot mount FAT", "modprobe vfat", 1),
    ("Installing bootloader: mount: /boot/efi: unknown filesystem type 'vfat'.", "cannot mount FAT", "vfat", 1),
    ("mount: /mnt: unknown filesystem type 'btrfs'.", "cannot mount btrfs", "modprobe btrfs", 1),
    ("Creating rootfs: Mounting /dev/loop3p3 at /run/bootc: No such device (os error 19)", "file system", "rootfs", 1),
    ("Creating rootfs: Mounting /dev/loop3p3 at /b: No such file or directory (os error 2)", "partitions", "udev", 1),
    (UDEV, "udev is not there", "systemd-udevd", 1),
    ("Creating rootfs: Re-exec in host mountns: exec: No such file or directory (os error 2)", "udev", "udevadm", 1),
    ("Creating rootfs: Failed to run udevadm settle: ExitStatus(unix_wait_status(256))", "udev", "/run/udev", 1),
    ("Re-exec in host mountns: setns: Operation not permitted (os error 1)", "may not see the files", "machine", 1),
    ("bootupd is required for ostree-based installs", "no bootupd", "source.composefs: true", 2),
    ("Setting up UKI boot: Cannot use externally specified kernel arguments with UKI", "UKI", "kernel_args", 2),
    ("Injecting root authorized_keys: a path led outside of the filesystem", "/root is a link", "var/roothome", 2),
    ("Invalid transport: http", "transport", "target_imgref", 2),
    ("Querying root privilege: The container must be executed with full privileges (e.g. …)", "rights", "rootful", 1),
    ("Querying root privilege: The user inside the container (`core`) must be root", "not root", "USER root", 2),
    ("Creating rootfs: Parsing root size: Trailing text after size: B", "size", "root_size: 10G", 2),
    (SPLIT, "OCI's format", "--format oci-archive", 2),
    ("Bootloader set to none is not supported with the composefs backend", "needs a boot loader", "systemd", 2),
    ("Creating rootfs: Device /dev/loop4 is mounted", "is mounted", "findmnt", 1),
    ("resolving bound image quay.io/a/b:1: opening image: no such image", "bound to quay.io/a/b:1", "podman pull", 2),
    ("Writing UKI to ESP: No space left on device (os error 28)", "EFI system partition", "initramfs", 2),
    ("Deploying container image: min-free-space-percent '3%' would be exceeded", "does not fit", "disk_size", 2),
    ('Creating ostree deployment: failed: "skopeo": not found', "lacks a program", "skopeo", 1),
]


@pytest.mark.parametrize("shape", ["{}", "\x1b[31merror:\x1b[0m {}", "bare", "noise", "crlf"])
@pytest.mark.parametrize(("said", "message", "hint", "code"), REAL)
def test_what_the_real_one_says(tmp_path: Path, shape: str, said: str, message: str, hint: str, code: int) -> None:
    """With a prefix or none, in colour, among chatter, with the line ends of a terminal."""
    text = {
        "{}": f"{HEAD}{said}\n",
        "bare": f"error: {said}",
        "noise": f"mke2fs 1.47.2 (1-Jan-2025)\n INFO bootc: Insufficient room in udevadm\n{HEAD}{said}\n"
        '{"type":"ProgressSteps","task":"No space left on device"}\n',
        "crlf": f"mke2fs 1.47.2\r\n2026-01-01T00:00:00.1Z  INFO losetup: no\r\n{HEAD}{said}\r\n",
    }.get(shape, shape.format(f"Installing to disk: {said}"))
    found = diagnose(CommandError(["podman"], 1, text), tmp_path, WHERE, Sizes(disk=1 << 30))
    assert message in found.message and hint in (found.hint or "")
    assert said in found.message.splitlines()[1], "the line that says why"
    assert len(found.message.splitlines()) == 2
    assert found.exit_code == code


@pytest.mark.parametrize(
    ("text", "size"),
    [("671.2 MB", 671_200_000), ("1,5\u00a0GB", 1_500_000_000), ("2 GiB", 2 << 30), ("12 bytes", 12), ("3 kB", 3000),
     ("much", None)],
)  # fmt: skip
def test_amounts(text: str, size: int | None) -> None:
    assert amount(text) == size


@pytest.mark.parametrize(
    ("sizes", "hint"),
    [
        (Sizes(), "enlarge disk_size"),
        (Sizes(disk=10 << 30), "disk_size: 13G (now 10G)"),
        (Sizes(disk=20 << 30, root=4 << 30), "root_size: 7G (now 4G)"),
    ],
)
def test_how_large_it_must_be(tmp_path: Path, sizes: Sizes, hint: str) -> None:
    text = f"{HEAD}{FREE}(available: 4,0\u00a0GB required: 6.5\u00a0GB)"
    found = diagnose(CommandError(["podman"], 1, text), tmp_path, WHERE, sizes)
    assert hint in (found.hint or "") and found.where == WHERE


def test_a_stage_that_does_not_say_why_shows_what_was_said_before(tmp_path: Path) -> None:
    """A mkfs in another language: its words are quoted, its banner is not."""
    text = (
        "mke2fs 1.47.2 (1-Jan-2025)\nmkfs.ext4: Gerätegröße wird als Null angegeben.\n"
        f"{HEAD}Creating rootfs: Task Creating root filesystem (ext4) on device /dev/loop0p3 failed: ExitStatus(256)\n"
    )
    found = diagnose(CommandError(["podman"], 1, text), tmp_path, WHERE)
    first, why, *_ = found.message.splitlines()
    assert "file systems could not be made" in first
    assert why == "  | mkfs.ext4: Gerätegröße wird als Null angegeben."
    assert "the log has the full output" in (found.hint or "")


def test_a_killed_installer_is_said_to_be_that(tmp_path: Path) -> None:
    found = diagnose(CommandError(["podman"], 137, "mke2fs 1.47.2\n"), tmp_path, WHERE)
    assert "was killed" in found.message and "memory" in (found.hint or "")


def test_podmans_line_that_says_why_is_quoted() -> None:
    error = CommandError(["podman"], 125, "Error: x509: certificate has expired\ntime=1 level=debug\n")
    assert diagnosis.diagnose(error).message.endswith("| Error: x509: certificate has expired")

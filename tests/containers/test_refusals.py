"""What the installer and podman refuse becomes an error with a next step. Messages as they were seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.containers import trouble
from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, InputError, Where
from ovtasks.host.run import CommandError
from ovtasks.sources.bootc.refusals import explain

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
    found = explain(error, tmp_path, tmp_path / "log", WHERE)
    assert message in found.message
    assert said.splitlines()[0] in found.message  # the installer's own words stay
    assert hint in (found.hint or "")
    assert found.exit_code == code
    assert found.where == (WHERE if isinstance(found, InputError) else None)


def test_usage_errors_are_ours(tmp_path: Path) -> None:
    text = "error: unexpected argument '--frob' found\n\nUsage: bootc install to-disk [OPTIONS] <DEVICE>\n"
    found = explain(CommandError(["podman"], 2, text), tmp_path, tmp_path / "log", WHERE)
    assert "understands other options" in found.message
    assert "report" in (found.hint or "")


def test_what_is_not_known_shows_its_end_and_where_the_rest_is(tmp_path: Path) -> None:
    found = explain(CommandError(["podman"], 1, f"{HEAD}something new"), tmp_path, tmp_path / "log", WHERE)
    assert "something new" in found.message
    assert str(tmp_path / "log") in (found.hint or "")


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
    ("Error: invalid reference format", "no image reference", "registry/name:tag"),
    ("Error: localhost/x: image not known", "not in this podman's storage", "sudo's storage"),
    ("Error: statfs /home/me/vms: no such file or directory", "does not find a folder", "machine init --volume"),
    ("Error: write /var/tmp/x: no space left on device", "disk is full", "prune"),
    ('Error: unknown FS magic on "/run/netns/x": ef53', "damaged or busy", "podman ps"),
    ("Error: unable to connect to Podman socket: dial unix", "machine does not answer", "podman machine start"),
    ("sudo: a password is required", "asks for a password", "engine.rootful"),
]


@pytest.mark.parametrize(("said", "message", "hint"), PODMAN)
def test_podman_too(said: str, message: str, hint: str) -> None:
    found = trouble.explain(CommandError(["podman"], 125, f"Trying to pull…\n{said}\n"))
    assert message in found.message
    assert said in found.message
    assert hint in (found.hint or "")


def test_podmans_other_words_stay() -> None:
    error = CommandError(["podman"], 125, "Error: something else")
    assert trouble.explain(error) is error

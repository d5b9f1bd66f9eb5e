"""The stand-in keeps bootc's contract: what it refuses and how, what it says, what it makes."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from pathlib import Path

import pytest

from ovtasks.host.run import run
from ovtasks.images.boot import Bootable, bootable
from ovtasks.sources.bootc.command import offered, values
from tests.bootc.disk import aleph, cat, entry, filesystem, origin, partitions
from tests.bootc.install import LOOPBACK, STANDIN, Lab, control, wait_for, wait_paused
from tests.bootc.leftovers import identity, loop_devices
from tests.bootc.room import inner_pid
from tests.support.programs import Ended, attempt

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
MiB = 1 << 20
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1m3b1nW5b1Zl1c0XgY7hP8zj0Yk2W4Gv4e9yJmT8pQ somebody\n"
DISK = "/out/disk.raw"
DISK_ERROR = "error: Installing to disk: "
ROOT = "Querying root privilege: "
USAGE = "\n\nUsage: bootc install to-disk [OPTIONS] <DEVICE>\n\nFor more information, try '--help'.\n"


@pytest.fixture
def disk(clean_lab: Lab) -> Path:
    return clean_lab.disk()


def test_scripts() -> None:
    run(
        ["shellcheck", "--external-sources", *(HERE / "standin" / name for name in ("bootc", "disk.sh"))],
        cwd=HERE.parents[1],
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*LOOPBACK, "/out/n.raw"), "Querying /out/n.raw: No such file or directory (os error 2)"),
        ((*LOOPBACK[1:], DISK), f"Not a block device: {DISK}"),
        ((*LOOPBACK, "/dev/null"), "Not a regular file (to be used via loopback): /dev/null"),
        ((*LOOPBACK[:2], DISK), "Creating rootfs: No root filesystem specified"),
        (
            (*LOOPBACK, "--root-ssh-authorized-keys", "/out/keys", DISK),
            "Reading /out/keys: No such file or directory (os error 2)",
        ),
        (
            (*LOOPBACK, "--root-size=2GB", DISK),
            "Creating rootfs: Parsing root size: Trailing text after size: B",
        ),
        ((*LOOPBACK, "--target-transport=http", DISK), "Invalid transport: http"),
        (
            (*LOOPBACK, "--source-imgref=http://x", DISK),
            "Creating source info from a given imageref: Invalid transport: http",
        ),
        (
            (*LOOPBACK, "--composefs-backend", "--bootloader=none", DISK),
            "Bootloader set to none is not supported with the composefs backend",
        ),
        (
            (*LOOPBACK, "--run-fetch-check", DISK),
            "Fetching manifest: pinging container registry localhost: connection refused",
        ),
    ],
)
def test_what_it_is_told_is_wrong(clean_lab: Lab, disk: Path, words: tuple[str, ...], message: str) -> None:
    done = clean_lab.install(*words, code=1)
    assert done.stderr == f"{DISK_ERROR}{message}\n"
    assert disk.stat().st_blocks == 0 or "Creating rootfs" in message


@pytest.mark.parametrize(
    ("without", "more", "message"),
    [
        (
            (),
            ("--user=1000",),
            f"{ROOT}The user inside the container from which you are running this command must be root",
        ),
        (
            ("--privileged",),
            (),
            f"{ROOT}The container must be executed with full privileges (e.g. --privileged flag)",
        ),
        (("--pid=host",), (), "This command must be run with the podman --pid=host flag"),
        (("/dev",), (), "Loopback mounts (--via-loopback) require host devices (-v /dev:/dev)"),
    ],
)
def test_the_container_is_wrong(
    clean_lab: Lab, disk: Path, without: tuple[str, ...], more: tuple[str, ...], message: str
) -> None:
    done = clean_lab.install(*LOOPBACK, DISK, code=1, without=without, more=more)
    assert done.stderr == f"{DISK_ERROR}{message}\n"
    assert disk.stat().st_blocks == 0


def test_the_image_is_in_another_storage(clean_lab: Lab, disk: Path) -> None:
    """As when only the user's environment says where images are: the installer asks the host's own podman."""
    etc = clean_lab.room.folder / "etc"
    usual = (etc / "storage.conf").read_text(encoding="utf-8")
    (etc / "elsewhere.conf").write_text(usual, encoding="utf-8")
    (etc / "storage.conf").write_text(usual.replace("containers/storage", "containers/empty"), encoding="utf-8")
    try:
        env = {"CONTAINERS_STORAGE_CONF": "/etc/containers/elsewhere.conf"}
        said = clean_lab.install(*LOOPBACK, DISK, code=1, env=env).stderr
    finally:
        (etc / "storage.conf").write_text(usual, encoding="utf-8")
    clean_lab.room.run("umount", "/var/lib/containers/empty/overlay")
    assert said.startswith(f"{DISK_ERROR}Gathering source info from container env: ")
    assert "Error: inspecting object: no such object: " in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following required arguments were not provided:\n  <DEVICE>"),
        (("--wype", "d"), "unexpected argument '--wype' found"),
        (("d", "e"), "unexpected argument 'e' found"),
        (("-x", "d"), "unexpected argument '-x' found"),
        (("--wipe=yes", "d"), "unexpected value 'yes' for '--wipe' found; no more were expected"),
        (("--wipe", "--wipe", "d"), "the argument '--wipe' cannot be used multiple times"),
        (
            ("--root-size=1G", "--root-size=2G", "d"),
            "the argument '--root-size <ROOT_SIZE>' cannot be used multiple times",
        ),
        (("--karg",), "a value is required for '--karg <KARG>' but none was supplied"),
        (
            ("--filesystem=zfs", "d"),
            "invalid value 'zfs' for '--filesystem <FILESYSTEM>'\n  [possible values: xfs, ext4, btrfs]",
        ),
    ],
)
def test_command_line(words: tuple[str, ...], message: str) -> None:
    """The same outside a container: it is read first."""
    done = standin("install", "to-disk", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}{USAGE}")


def test_unknown_command() -> None:
    done = standin("instal")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: unrecognized subcommand 'instal'")


def test_help_lists_the_options() -> None:
    done = standin("install", "to-disk", "--help")
    assert done.returncode == 0
    for option in (
        *("--via-loopback", "--generic-image", "--filesystem <FILESYSTEM>", "--root-size <ROOT_SIZE>", "--karg <KARG>"),
        *("--target-transport <", "--target-imgref <", "--root-ssh-authorized-keys <", "--wipe", "--block-setup <"),
        *("--disable-selinux", "--skip-fetch-check", "--run-fetch-check", "--bootloader <", "--stateroot <"),
        *("--composefs-backend", "--allow-missing-verity", "--karg-delete <", "--uki-addon <"),
    ):
        assert re.search(rf"^ +{re.escape(option)}", done.stdout, re.MULTILINE), option
    assert offered(done.stdout) > {"--via-loopback", "--composefs-backend", "--help"}
    assert values(done.stdout, "--bootloader") == {"grub", "grub-cc", "systemd", "none"}


def standin(*words: str) -> Ended:
    """Run the script here, in a copy of what its image holds."""
    script = HERE / "standin" / "bootc"
    text = script.read_text(encoding="utf-8").replace("/usr/lib/bootc-standin", str(script.parent))
    return attempt("bash", "-c", text, script, *words)


def test_old_version(clean_lab: Lab, disk: Path) -> None:
    image = clean_lab.derive("old", "RUN echo 1.1.2 > /usr/lib/bootc-standin/version")
    assert clean_lab.bootc("--version", image=image).stdout == "bootc 1.1.2\n"
    said = clean_lab.bootc("install", "to-disk", "--help", image=image).stdout
    assert "--skip-fetch-check" in said and "--karg " in said
    assert not [word for word in ("--run-fetch-check", "--karg-delete", "--bootloader", "--stateroot") if word in said]
    assert (
        "unexpected argument '--bootloader'" in clean_lab.install("--bootloader=grub", DISK, image=image, code=2).stderr
    )
    fetch = clean_lab.install(*LOOPBACK, DISK, image=image, code=1).stderr
    assert fetch == f"{DISK_ERROR}Fetching manifest: pinging container registry localhost: connection refused\n"
    assert disk.stat().st_blocks == 0


def test_configuration_of_the_image(clean_lab: Lab, disk: Path) -> None:
    """The root file system that the image names is taken, and everybody may ask for it."""
    toml = r'[install.filesystem.root]\ntype = "ext4"\n[install]\nkargs = ["quiet", "nosmt"]\n'
    image = clean_lab.derive("configured", f"RUN printf '{toml}' > /usr/lib/bootc/install/50.toml")
    known = json.loads(clean_lab.bootc("install", "print-configuration", image=image).stdout)
    assert known == {"root-fs-type": "ext4", "block": ["direct"], "filesystem": {"root": {"type": "ext4"}}}
    assert json.loads(clean_lab.bootc("install", "print-configuration").stdout)["filesystem"] is None
    clean_lab.install(*LOOPBACK[:2], "--karg=debug", "--karg-delete=nosmt", DISK, image=image)
    assert entry(disk, "options") == f"root=UUID={filesystem(disk)['UUID']} rw quiet debug"


def test_generic_image_is_implied(clean_lab: Lab, disk: Path) -> None:
    done = clean_lab.install("--via-loopback", DISK, code=1)
    assert done.stderr == (
        "Automatically enabling --generic-image when installing via loopback\n"
        f"{DISK_ERROR}Creating rootfs: No root filesystem specified\n"
    )
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Installing image", "Digest"], "said before"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_installs(clean_lab: Lab, disk: Path, kind: str) -> None:
    done = clean_lab.install("--via-loopback", "--generic-image", f"--filesystem={kind}", "--root-size=1G", DISK)
    lines = done.stdout.splitlines()
    assert lines[0] == "Installing image: docker://localhost/standin:latest"
    assert re.fullmatch(r"Digest: sha256:[0-9a-f]{64}", lines[1])
    assert lines[2] == "Block setup: direct"
    assert lines[-1] == "Installation complete!"
    assert done.stderr == ""
    assert [(part["name"], part["size"] * 512) for part in partitions(disk)] == [
        ("BIOS-BOOT", 1 * MiB),
        ("EFI-SYSTEM", 512 * MiB),
        ("root", 1024 * MiB),
    ]
    assert "Bootloader: grub" in lines
    assert bootable(disk) == Bootable(True, True, signed=False)
    assert filesystem(disk)["TYPE"] == kind
    assert disk.stat().st_blocks * 512 < 900 * MiB, "what is not used is not stored"


def test_what_is_on_the_disk(clean_lab: Lab, disk: Path) -> None:
    """Twice: what is there is kept unless --wipe is said."""
    (clean_lab.folder / "keys").write_text(KEY, encoding="utf-8")
    words = (*LOOPBACK, "--root-ssh-authorized-keys=/out/keys", "--karg=console=ttyS0", "--karg=quiet")
    done = clean_lab.install(*words, "--target-imgref=r.example/os:1", DISK)
    assert done.stdout.startswith("Installing image: docker://r.example/os:1\n")
    root = f"root=UUID={filesystem(disk)['UUID']} rw"
    assert entry(disk, "options") == f"{root} console=ttyS0 quiet"
    line = cat(disk, "/etc/tmpfiles.d/bootc-root-ssh.conf").split()
    assert line[:-1] == ["f~", "/root/.ssh/authorized_keys", "600", "root", "root", "-"]
    assert base64.b64decode(line[-1]).decode() == KEY
    known = aleph(disk)
    assert (known["image"], known["target-image"]) == ("localhost/standin:latest", "r.example/os:1")
    assert f"Digest: {known['digest']}" in done.stdout
    assert (known["selinux"], known["labels"]["containers.bootc"]) == ("disabled", "1")
    assert origin(disk) == "ostree-unverified-registry:r.example/os:1"
    refused = clean_lab.install(*LOOPBACK, DISK, code=1).stderr
    assert re.fullmatch(
        rf"{DISK_ERROR}Creating rootfs: Detected existing partitions on /dev/loop\d+; "
        "use e.g. `wipefs` or --wipe if you intend to overwrite\n",
        refused,
    )
    more = (
        "--wipe",
        "--bootloader=none",
        "--target-transport=oci-archive",
        "--target-imgref=/os.tar",
        "--disable-selinux",
    )
    assert clean_lab.install(*LOOPBACK, *more, DISK).stdout.startswith("Installing image: oci-archive:/os.tar\n")
    known = aleph(disk)
    assert (known["selinux"], known["target-image"]) == ("force-target-disabled", "/os.tar")
    assert origin(disk) == "ostree-unverified-image:oci-archive:/os.tar"
    assert not cat(disk, "/etc/tmpfiles.d/bootc-root-ssh.conf")


def test_composefs(clean_lab: Lab, disk: Path) -> None:
    """Its EFI system partition is larger, BIOS has nothing to start, and keys are not written, without a word."""
    image = clean_lab.derive("no-bootupd", "RUN rm /usr/bin/bootupctl")
    (clean_lab.folder / "keys").write_text(KEY, encoding="utf-8")
    words = (*LOOPBACK, "--composefs-backend", "--root-ssh-authorized-keys=/out/keys", DISK)
    lines = clean_lab.install(*words, image=image).stdout.splitlines()
    assert "Bootloader: systemd" in lines and not [line for line in lines if line.startswith("Injected")]
    assert not cat(disk, "/etc/tmpfiles.d/bootc-root-ssh.conf")
    assert [(part["name"], part["size"] * 512) for part in partitions(disk)[:2]] == [
        ("BIOS-BOOT", 1 * MiB),
        ("EFI-SYSTEM", 1024 * MiB),
    ]
    boot = bootable(disk)
    assert boot is not None and (boot.bios, boot.uefi) == (False, True)


def test_without_bootupd(clean_lab: Lab, disk: Path) -> None:
    """Found out late: the image is on the disk by then."""
    image = clean_lab.derive("no-bootupd", "RUN rm /usr/bin/bootupctl")
    done = clean_lab.install(*LOOPBACK, DISK, image=image, code=1)
    assert done.stderr == f"{DISK_ERROR}bootupd is required for ostree-based installs\n"
    assert "Bootloader: systemd" in done.stdout


def test_too_small_a_disk(clean_lab: Lab, disk: Path) -> None:
    """Before anything is copied."""
    done = clean_lab.install(*LOOPBACK, "--root-size=300", DISK, code=1)
    assert re.search(
        r"Insufficient free space for containers-storage:localhost/standin:latest "
        r"\(available: \d+\.\d\u00a0MB required: \d+\.\d\u00a0MB\)",
        done.stderr,
    )
    assert "Deploying" not in done.stdout


@pytest.mark.parametrize(
    ("stage", "number", "status"),
    [("attached", signal.SIGTERM, 143), ("copy", signal.SIGINT, 130), ("loader", signal.SIGTERM, 143)],
)
def test_a_signal_ends_it_and_its_loop_device(
    clean_lab: Lab, disk: Path, stage: str, number: signal.Signals, status: int
) -> None:
    """podman hands the signal on."""
    control(clean_lab.room, f"pause {stage}")
    process = clean_lab.room.popen(*clean_lab.words(STANDIN, "bootc", "install", "to-disk", *LOOPBACK, DISK))
    wait_paused(clean_lab.room, process)
    assert identity(disk) in [known for _, known in loop_devices().values()]
    os.kill(inner_pid(process), number)
    process.communicate(timeout=30)
    assert process.returncode == status


def test_killed_installer_frees_its_loop_device(clean_lab: Lab, disk: Path) -> None:
    control(clean_lab.room, "pause copy")
    process = clean_lab.room.popen(*clean_lab.words(STANDIN, "bootc", "install", "to-disk", *LOOPBACK, DISK))
    wait_paused(clean_lab.room, process)
    (installer,) = [
        pid for pid, line in clean_lab.room.processes().items() if re.match(r"/bin/bash \S*bootc install to-disk", line)
    ]
    os.kill(installer, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 137
    wait_for(lambda: not clean_lab.room.processes())


def test_removed_container_leaves_its_loop_device(clean_lab: Lab, disk: Path) -> None:
    """As the real one does: the helper that frees it dies with the container. Cleaning is the caller's affair."""
    control(clean_lab.room, "pause copy")
    words = clean_lab.words(STANDIN, "bootc", "install", "to-disk", *LOOPBACK, DISK, more=("--name=installer",))
    process = clean_lab.room.popen(*words)
    wait_paused(clean_lab.room, process)
    clean_lab.room.podman("rm", "--force", "--time=0", "installer")
    process.communicate(timeout=30)
    (device,) = [name for name, (_, known) in loop_devices().items() if known == identity(disk)]
    run(["losetup", "--detach", device])

"""A bootc VM's chain, for real but for the program in the image: what is built, and when it is built again."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from ovtasks.host.paths import instance_directory
from ovtasks.host.run import run
from ovtasks.images.boot import bootable
from ovtasks.instance.keys import generate_key_pair
from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.disk import aleph, cat, entry, filesystem, origin, partitions
from tests.bootc.install import STANDIN, control, derive
from tests.bootc.leftovers import Before
from tests.bootc.registry import registry
from tests.bootc.room import Room
from tests.support.workbench import OV, cloud_vm, ran

pytestmark = pytest.mark.slow
GiB = 1 << 30


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "project", room)


def build(bench: Bench, *words: str) -> list[str]:
    """Build the VM ``web``; returns the verbs of the steps that ran."""
    said = bench.ov("vm", "build", "web", *words).stderr
    assert "Installation complete!" not in said, "that is for --console"
    return [step.split(":")[0] for step in ran(said)]


def test_only_what_changed_is_made_again(bench: Bench) -> None:
    everything, installed = ["image", "install", "convert"], ["install", "convert"]
    containerfile = bench.write_image("os", "RUN echo 1 > /etc/mark")
    bench.write({"web": bootc_vm("os")})
    assert build(bench) == ["base", *everything]
    assert run(["qemu-img", "info", bench.disk]).stdout.count("virtual size: 2 GiB")
    assert build(bench) == []
    containerfile.touch()
    assert build(bench) == []
    first = bench.disk.stat().st_ino
    containerfile.write_text(containerfile.read_text().replace("echo 1", "echo 2"))
    assert bench.plan("web")["convert:web"] != "fresh"
    assert build(bench) == everything
    assert bench.disk.stat().st_ino != first
    bench.write({"web": bootc_vm("os", source={"kernel_args": ["quiet"]})})
    assert bench.reasons("web").keys() == {"install:web", "convert:web"}
    assert build(bench) == installed
    bench.write({"web": bootc_vm("os", source={"kernel_args": ["quiet"]}, disk_size="3G")})
    assert build(bench) == installed
    assert build(bench) == []
    packed = {"disk_size": "3G", "output": {"compress": "zstd"}}
    bench.write({"web": bootc_vm("os", source={"kernel_args": ["quiet"]}, **packed)})
    plain = bench.disk.stat().st_blocks
    assert build(bench) == ["convert"]
    assert bench.disk.stat().st_blocks < plain // 2
    bench.disk.unlink()
    assert build(bench) == installed
    assert bench.leftovers() == []


def test_every_word_of_the_source_reaches_the_disk(bench: Bench, tmp_path: Path) -> None:
    _, public = generate_key_pair("somebody")
    (tmp_path / "id.pub").write_text(public)
    bench.write(
        {
            "web": bootc_vm(
                source={
                    "kernel_args": ["console=ttyS0,115200n8", "quiet"],
                    "root_size": "1G",
                    "target_imgref": "r.example/team/os:7",
                },
                ssh={"key_source": str(tmp_path / "id.pub"), "key_injection": {"install": "enabled"}},
            )
        }
    )
    assert build(bench, "--type", "raw") == ["image", "install"]
    disk = bench.root / "output/web/raw/disk.raw"
    assert disk.stat().st_size == 2 * GiB
    assert partitions(disk)[-1]["size"] * 512 == GiB
    assert entry(disk, "options").split()[1:] == ["rw", "console=ttyS0,115200n8", "quiet"]
    assert origin(disk) == "ostree-unverified-registry:r.example/team/os:7"
    assert aleph(disk)["target-image"] == "r.example/team/os:7"
    line = cat(disk, "/etc/tmpfiles.d/bootc-root-ssh.conf").strip()
    assert line.startswith("f~ /root/.ssh/authorized_keys 600 root root - ")
    assert base64.b64decode(line.split()[-1]).decode() == public
    assert build(bench, "--type", "raw") == []


def test_another_file_system(bench: Bench) -> None:
    bench.write({"web": bootc_vm(source={"rootfs": "xfs"})})
    build(bench, "--type", "raw")
    assert filesystem(bench.root / "output/web/raw/disk.raw")["TYPE"] == "xfs"


@pytest.mark.parametrize(
    ("transport", "option"), [("oci", "oci-dir"), ("oci-archive", ""), ("docker-archive", ""), ("dir", "docker-dir")]
)
def test_transports_that_are_files(bench: Bench, tmp_path: Path, transport: str, option: str) -> None:
    """The image is found although the storage has lost its name."""
    archive = tmp_path / "os"
    bench.room.podman("save", "--quiet", "--format", option or transport, "--output", archive, STANDIN)
    bench.room.podman("untag", STANDIN)
    source = {"transport": transport, "target_imgref": "r.example/os:1"}
    bench.write({"web": bootc_vm(str(archive), source=source)})
    assert build(bench, "--type", "raw") == ["image", "install"]
    assert origin(bench.root / "output/web/raw/disk.raw") == "ostree-unverified-registry:r.example/os:1"
    os.utime(archive)
    assert build(bench, "--type", "raw") == []


def test_transport_containers_storage(bench: Bench) -> None:
    bench.write({"web": bootc_vm(source={"transport": "containers-storage"})})
    build(bench)
    bench.write({"web": bootc_vm("localhost/nobody", source={"transport": "containers-storage"})})
    said = bench.ov("vm", "build", "web", code=1).stderr
    assert "localhost/nobody" in said and "hint:" in said


@pytest.mark.parametrize("program", ["ov", "doit"])
def test_the_command_line_says_another_transport(bench: Bench, program: str) -> None:
    """Other steps bring the image then; also where what the file says would be no image at all."""
    bench.room.podman("save", "--quiet", "--format", "oci-dir", "--output", bench.root / "layout", "localhost/root")
    bench.write({"web": bootc_vm("layout")})

    def build(*words: str, code: int) -> str:
        if program == "ov":
            return bench.ov("vm", "build", "web", *words, code=code).stderr
        done = bench.doit("build:web", *words, code=None)
        assert bool(done.returncode) == bool(code)
        return done.stdout + done.stderr

    said = build("--transport", "oci", code=2)
    assert [step.partition(":")[0] for step in ran(said)] == ["image", "install"]
    assert "has no bootc" in said
    bench.write({"web": bootc_vm(STANDIN)})
    said = build("--transport=containers-storage", code=0)
    assert [step.partition(":")[0] for step in ran(said)] == ["image", "install", "convert"]
    assert "unknown transport 'nfs'" in build("--transport", "nfs", code=2)


def test_transport_registry(bench: Bench, tmp_path: Path) -> None:
    """Pulled once, and upgrades in the guest go to the registry."""
    with registry(bench.room, tmp_path / "registry") as address:
        name = f"{address}/team/os:1"
        bench.room.podman("push", "--quiet", STANDIN, name)
        bench.room.podman("untag", STANDIN)
        bench.write({"web": bootc_vm(name)})
        assert build(bench, "--type", "raw") == ["image", "install"]
        assert origin(bench.root / "output/web/raw/disk.raw") == f"ostree-unverified-registry:{name}"
        assert build(bench, "--type", "raw") == []


def test_an_old_bootc(bench: Bench, tmp_path: Path) -> None:
    derive(bench.room, tmp_path / "old", "localhost/old", "RUN echo 1.1.2 > /usr/lib/bootc-standin/version")
    bench.write({"web": bootc_vm("localhost/old", source={"kernel_args": ["quiet"]})})
    assert build(bench) == ["image", "install", "convert"]
    assert "bootc 1.1.2" in (bench.root / "output/web/install.json").read_text()


@pytest.mark.parametrize(
    ("unfilled", "firmware", "why"),
    [("bios", "bios", "no boot code in its first sector"), ("uefi", "uefi-insecure", "EFI system partition is empty")],
)
def test_firmware_that_cannot_start_the_disk(
    bench: Bench, tmp_path: Path, unfilled: str, firmware: str, why: str
) -> None:
    """The partitions are always there, filled or not. Said before anything is started, with the one that can."""
    derive(bench.room, tmp_path / "other", "localhost/other", f"RUN echo {unfilled} > /usr/lib/bootc-standin/unfilled")
    bench.write({"web": bootc_vm("localhost/other", firmware=firmware, backend="qemu")})
    build(bench)
    said = bench.ov("vm", "create", "web", code=2).stderr
    assert "vms.yml:" in said and f"cannot be started by firmware {firmware}: " in said and why in said
    other = "uefi-insecure" if firmware == "bios" else "bios"
    assert f"firmware: {other}" in said
    assert json.loads(bench.ov("vm", "list", "-a", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--root-size", "100K"), "the root file system of web would have 100K, on a disk of 2G", "32M"),
        (("--root-size", "3G"), "the root file system of web would have 3G, on a disk of 2G", "leave it out"),
        (("--root-size", "2G"), "--root-size of web: a root file system of 2G does not fit on a disk of 2G", "1533M"),
        (("--root-size", "1534M"), "--root-size of web: ", "at most 1533M"),
        (("--size", "500M"), "--size of web: a disk of 500M is too small for bootc", "at least 547M"),
    ],
)
def test_sizes_that_cannot_be(bench: Bench, words: tuple[str, ...], message: str, hint: str) -> None:
    bench.write({"web": bootc_vm()})
    said = bench.ov("vm", "build", "web", *words, code=2).stderr
    assert message in said and hint in said.partition("hint:")[2]
    assert ran(said) == [], "before anything is done"


def test_options_that_other_sources_do_not_have(bench: Bench) -> None:
    """Given for all VMs at once: the ones concerned say so."""
    bench.write({"web": bootc_vm(), "plain": cloud_vm(bench.root / "a.qcow2")})
    words = ("build", "--transport", "containers-storage")
    for done in (bench.ov("vm", *words, code=2), bench.doit(*words, code=1)):
        said = done.stdout + done.stderr
        assert "--transport has no meaning for plain, whose source is cloud_image" in said
        assert "Traceback" not in said


def test_an_image_without_bootc(bench: Bench, tmp_path: Path) -> None:
    derive(bench.room, tmp_path / "plain", "localhost/plain", "RUN rm /usr/bin/bootc")
    bench.write({"web": bootc_vm("localhost/plain")})
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "vms.yml:" in said and "has no bootc" in said and "hint:" in said


def test_a_seed_needs_cloud_init_in_the_image(bench: Bench, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"cloud_init": {"timezone": "Etc/UTC"}}
    bench.write({"web": bootc_vm(**fields)})
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "vms.yml:" in said and f"the image {STANDIN}:latest has no cloud-init" in said
    derive(bench.room, tmp_path / "ci", "localhost/ci", "RUN ln -s /bin/true /usr/bin/cloud-init")
    bench.write({"web": bootc_vm("localhost/ci", **fields)})
    assert build(bench) == ["image", "install", "convert", "seed"]
    seed = (bench.root / "output/web/qcow2/seed.iso").read_text(errors="replace")
    assert "timezone: Etc/UTC" in seed


def test_who_gets_in_by_the_seed(bench: Bench, tmp_path: Path) -> None:
    """The seed brings key, account and name to an instance, whose machine has it as a disk."""
    derive(bench.room, tmp_path / "ci", "localhost/ci", "RUN ln -s /bin/true /usr/bin/cloud-init")
    _, public = generate_key_pair("somebody")
    (tmp_path / "id.pub").write_text(public)
    ssh = {"user": "ada", "key_source": str(tmp_path / "id.pub")}
    bench.write({"web": bootc_vm("localhost/ci", ssh=ssh, backend="qemu", cloud_init={"hostname": "web7"})})
    bench.ov("vm", "create", "--no-start", "web")
    seed = instance_directory("ov-web") / "seed.iso"
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    said = seed.read_text(errors="replace")
    for text in ("name: ada", " ".join(public.split()[:2]), "local-hostname: web7", "hostname: web7"):
        assert text in said
    assert str(seed) in bench.ov("vm", "argv", "web").stdout
    bench.ov("vm", "destroy", "--disk", "web")


def test_what_the_installer_says(bench: Bench) -> None:
    """In a log file, and with --console as it comes."""
    bench.write({"web": bootc_vm()})
    assert "Deploying container image" in bench.doit("build:web", "--console").stderr
    assert "Installation complete!" in (bench.root / "output/web/log/install.log").read_text()


def test_a_disk_that_is_too_small_for_the_image(bench: Bench) -> None:
    """bootc says by how much; what would do is computed, and does."""
    bench.write({"web": bootc_vm(disk_size="760M")})
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "the image does not fit on the disk: it needs " in said and "Insufficient free space" in said
    found = re.search(r"disk_size: (\S+) \(now 760M\)", said)
    assert found is not None, said
    bench.write({"web": bootc_vm(disk_size=found[1])})
    assert build(bench) == ["install", "convert"]
    assert bench.leftovers() == []


ESP = "Mounting ESP into composefs root: Mounting /dev/loop7p2 at /tmp/x: No such device (os error 19)"
UDEV = "Comparing filesystems at /run/udev and /proc/1/root//run/udev: No such file or directory (os error 2)"


@pytest.mark.parametrize(
    ("stage", "message", "found", "code"),
    [("loader", ESP, "cannot mount FAT", 1), ("attached", UDEV, "udev is not there", 1)],
)
def test_what_this_machine_lacks(bench: Bench, stage: str, message: str, found: str, code: int) -> None:
    bench.write({"web": bootc_vm()})
    control(bench.room, f"say {stage} {message}")
    said = bench.ov("vm", "build", "web", code=code).stderr
    control(bench.room, "")
    assert found in said and f"| error: Installing to disk: {message}" in said and "hint:" in said
    assert bench.leftovers() == []


SYSTEMD_BOOT = "RUN mkdir -p /usr/lib/systemd/boot/efi && touch /usr/lib/systemd/boot/efi/systemd-bootx64.efi"


def test_an_image_with_systemd_boot_alone(bench: Bench, tmp_path: Path) -> None:
    """It becomes a composefs, and starts under UEFI only; asked for GRUB, bootc says what it wants."""
    lines = ("RUN rm /usr/bin/bootupctl", SYSTEMD_BOOT)
    derive(bench.room, tmp_path / "sd", "localhost/sd", *lines)
    bench.write({"web": bootc_vm("localhost/sd", disk_size="3G", backend="qemu")})
    assert "systemd-boot and composefs, because the image has no bootupd" in bench.ov("vm", "build", "web").stderr
    record = json.loads((bench.root / "output/web/install.json").read_text())
    assert (record["bootloader"], record["composefs"]) == ("systemd", True)
    assert (record["boot"]["bios"], record["boot"]["uefi"]) == (False, True)
    said = bench.ov("vm", "create", "web", code=2).stderr
    assert "systemd-boot, which starts under UEFI only" in said and "firmware: uefi-insecure" in said
    bench.write({"web": bootc_vm("localhost/sd", source={"composefs": False}, disk_size="3G")})
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "the image has no bootupd" in said and "source.bootloader: systemd" in said
    assert bench.reasons("web")["install:web"] == ["composefs: none → false"]


def test_boot_loader_and_composefs_arrive(bench: Bench) -> None:
    bench.write({"web": bootc_vm(source={"bootloader": "systemd"}, disk_size="3G")})
    build(bench, "--type", "raw")
    disk = bench.root / "output/web/raw/disk.raw"
    assert [part["size"] * 512 for part in partitions(disk)[:2]] == [1 << 20, GiB]
    bench.write({"web": bootc_vm(source={"bootloader": "none"}, disk_size="3G")})
    build(bench, "--type", "raw")
    assert [part["size"] * 512 for part in partitions(disk)[:2]] == [1 << 20, GiB // 2]
    known = bootable(disk)
    assert known is not None and (known.bios, known.uefi) == (False, False)


def test_an_old_bootc_cannot(bench: Bench, tmp_path: Path) -> None:
    derive(bench.room, tmp_path / "old", "localhost/old", "RUN echo 1.1.2 > /usr/lib/bootc-standin/version")
    for source, option in (({"bootloader": "grub"}, "--bootloader"), ({"composefs": True}, "--composefs-backend")):
        bench.write({"web": bootc_vm("localhost/old", source=source)})
        said = bench.ov("vm", "build", "web", code=2).stderr
        field = next(iter(source))
        assert f"has no {option}, which source.{field} needs" in said and f"remove source.{field}" in said


def test_a_key_in_the_disk_is_every_instances(bench: Bench, tmp_path: Path) -> None:
    """Of a key that is made for each instance, the first one's is in the disk; another one cannot log in."""
    ssh = {"key_source": "generate", "key_injection": {"install": "enabled"}}
    bench.write({"web": bootc_vm(ssh=ssh, backend="qemu")})
    bench.ov("vm", "create", "--no-start", "web")
    said = bench.ov("vm", "create", "--no-start", "web", "-i", "dev", code=2).stderr
    assert "installed with root's key in it, and its instance dev uses another key" in said
    assert "ssh.key_source: a public key's file" in said and "vms.yml:" in said
    _, public = generate_key_pair("somebody")
    (tmp_path / "id.pub").write_text(public)
    other = ("--no-start", "web", "--ssh-key", tmp_path / "id.pub")
    assert "leave --ssh-key out" in bench.ov("vm", "create", *map(str, other), code=2).stderr
    assert [vm["name"] for vm in json.loads(bench.ov("vm", "list", "-a", "--json").stdout)] == ["web"]
    bench.ov("vm", "create", "--no-start", "web")
    bench.write({"web": bootc_vm(ssh={**ssh, "key_source": str(tmp_path / "id.pub")}, backend="qemu")})
    bench.ov("vm", "create", "--no-start", "web", "-i", "dev")
    for words in ([], ["-i", "dev"]):
        bench.ov("vm", "destroy", "--disk", "web", *words)


def test_composefs_takes_no_key(bench: Bench, tmp_path: Path) -> None:
    """What brings it in instead is said; when nothing does, the disk is not made."""
    _, public = generate_key_pair("somebody")
    (tmp_path / "id.pub").write_text(public)
    ssh: dict[str, Any] = {"key_source": str(tmp_path / "id.pub"), "key_injection": {"install": "enabled"}}
    fields: dict[str, Any] = {"source": {"composefs": True}, "disk_size": "3G"}
    bench.write({"web": bootc_vm(ssh=ssh, **fields)})
    assert "bootc writes no key into a composefs disk; SMBIOS brings it in" in bench.ov("vm", "build", "web").stderr
    assert json.loads((bench.root / "output/web/install.json").read_text())["baked_keys"] == []
    ssh["key_injection"]["smbios"] = "disabled"
    bench.write({"web": bootc_vm(ssh=ssh, **fields)})
    bench.disk.unlink()
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "nobody could log in to web" in said and "source.composefs: false" in said


def test_two_builds_at_once(bench: Bench) -> None:
    """Two VMs of one image, and two runs for one VM: each disk is installed once."""
    bench.write({name: bootc_vm() for name in ("web", "db")})
    runs = [bench.start([*OV, "vm", "build", *names]) for names in (("web", "db"), ("web",))]
    said = "".join(process.communicate(timeout=120)[1] for process in runs)
    assert [process.returncode for process in runs] == [0, 0], said
    assert [said.count(f"{name}: podman, because") for name in ("web", "db")] == [1, 1]

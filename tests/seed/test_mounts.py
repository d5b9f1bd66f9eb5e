"""How a guest mounts: the script of the seed, run with programs that note what they are called with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.project.model import CloudInit, VmSpec
from ovtasks.seed.mounts import SCRIPT, early, fstab_line, late, sshfs_package
from ovtasks.seed.wanted import wants_seed
from ovtasks.values.mount import Mount
from tests.support.programs import call
from tests.support.specs import UNKNOWN, bootc, bootstrap, cloud_image, data, vm

FOLDERS = (Mount(Path("/a"), "/s r:c"), Mount(Path("/b"), "/home/me/in", read_only=True))


def test_in_the_seed() -> None:
    spec: VmSpec = vm(block=CloudInit(runcmd=("mine",), bootcmd=("first",)), mounts=FOLDERS)
    found = data(spec)
    assert found["bootcmd"] == [*early(FOLDERS), "first"]
    assert found["runcmd"][1:] == [*late(FOLDERS), "mine"]
    assert [command[3:] for command in found["bootcmd"][:2]] == [
        ["ov-mount", "ov-mount0", "/s r:c", "rw", "early"],
        ["ov-mount", "ov-mount1", "/home/me/in", "ro", "early"],
    ]
    assert [command[4:] for command in late(FOLDERS) if isinstance(command, list)] == [
        ["ov-mount1", "/home/me/in", "ro", "late"]
    ]
    assert "bootcmd" not in data(vm(block=CloudInit()))


def test_what_the_host_mounts(tmp_path: Path) -> None:
    """By sshfs: the seed brings the program alone."""
    by_sshfs = tuple(replace(one, transport="sshfs") for one in FOLDERS)
    assert early(by_sshfs) == late(by_sshfs) == []
    assert early((*by_sshfs, FOLDERS[0])) == early((*FOLDERS, FOLDERS[0]))[2:], "each keeps its number"
    for source, package in (
        (cloud_image(), "sshfs"),
        (cloud_image("https://images.example/Fedora-Cloud-43.qcow2"), "fuse-sshfs"),
        (cloud_image(UNKNOWN, distro="arch"), "sshfs"),
        (cloud_image(UNKNOWN, distro="tumbleweed"), "sshfs"),
        (cloud_image(UNKNOWN, distro="rocky"), None),
        (cloud_image(UNKNOWN), None),
        (bootc(), None),
        (bootstrap(distro="debian"), "sshfs"),
        (bootstrap(distro="debian", packages=("sshfs",)), None),
    ):
        assert sshfs_package(vm(source)) == package
        found = data(vm(source, block=CloudInit(packages=("vim",)), mounts=by_sshfs))
        assert found["packages"] == [*([package] if package else []), "vim"] or not wants_seed(vm(source))
    assert "packages" not in data(vm(block=CloudInit(), mounts=FOLDERS))


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """``mount`` succeeds for the file systems in ``knows``; the places of the script lie below the folder."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "mounts").write_text("")
    for name, body in (
        ("mount", f'echo "$*" >> {tmp_path}/said; grep -qx "$2" {tmp_path}/knows'),
        ("modprobe", "exit 1"),
        ("tee", "cat"),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def mounted(guest: Path, knows: str, target: str, mode: str = "rw", when: str = "early") -> list[str]:
    (guest / "knows").write_text(knows)
    (guest / "said").write_text("")
    script = SCRIPT.replace("/proc/mounts", str(guest / "mounts")).replace("/home/", f"{guest}/home/")
    call("sh", "-c", script, "ov-mount", "tag", target, mode, when, env={"PATH": f"{guest}/bin:{os.environ['PATH']}"})
    return (guest / "said").read_text().splitlines()


def test_virtiofs_first_then_9p(guest: Path) -> None:
    place = f"{guest}/s r:c"
    assert mounted(guest, "virtiofs\n", place) == [f"-t virtiofs -o rw tag {place}"]
    assert Path(place).is_dir()
    first, second = mounted(guest, "9p\n", place, "ro")
    assert first == f"-t virtiofs -o ro tag {place}"
    assert second.startswith("-t 9p -o ro,trans=virtio,version=9p2000.L,") and second.endswith(f" tag {place}")
    assert len(mounted(guest, "nothing\n", place)) == 2, "the boot goes on"


def test_what_is_mounted_stays(guest: Path) -> None:
    (guest / "mounts").write_text("tag /src virtiofs rw 0 0\n")
    assert mounted(guest, "virtiofs\n", f"{guest}/src") == []


def test_a_home_is_made_by_others(guest: Path) -> None:
    place = f"{guest}/home/me/in"
    assert mounted(guest, "virtiofs\n", place) == [] and not (guest / "home").exists()
    assert len(mounted(guest, "virtiofs\n", place, when="late")) == 1
    assert len(mounted(guest, "virtiofs\n", place)) == 1, "at later boots the home is there"


def test_a_line_of_fstab() -> None:
    assert fstab_line("t", "/a b", "virtiofs", read_only=True) == "t /a\\040b virtiofs ro,nofail 0 0\n"
    assert fstab_line("t", "/a", "9p", read_only=False).startswith("t /a 9p rw,nofail,trans=virtio,")

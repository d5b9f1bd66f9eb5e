"""The bootc VM of docs/bootc.md: its files, its commands, really built and booted; the base image is the stand-in's."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootc.room import Room
from tests.support.readme import blocks

SCRIPTS = Path(sys.executable).parent
BASE = "quay.io/fedora/fedora-bootc:42"
QUESTIONS = (
    "id -un; grep -o console=ttyS0 /proc/cmdline; test -d /sys/firmware/efi && echo uefi || echo bios; "
    "systemctl --failed --plain --no-legend | wc -l"
)
"""What the guest is asked besides."""


@pytest.fixture
def project(tmp_path: Path, room: Room) -> Iterator[Path]:
    (tmp_path / "image.yml").write_text(blocks("yaml", "images")[0], encoding="utf-8")
    (tmp_path / "vms.yml").write_text(blocks("yaml", "bootc")[0], encoding="utf-8")
    (tmp_path / "Containerfile").write_text(blocks("dockerfile", "bootc")[0], encoding="utf-8")
    room.podman("tag", "localhost/standin", BASE)
    yield tmp_path
    room.run(SCRIPTS / "ov", "vm", "destroy", "--disk", "box", cwd=tmp_path, code=None)


@pytest.mark.boot
def test_from_the_containerfile_to_ssh(project: Path, room: Room) -> None:
    (script,) = blocks("sh", "bootc")
    script += f"ov vm ssh box -- {shlex.quote(QUESTIONS)}\n"
    env = {"PATH": f"{SCRIPTS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "OV_VM_BACKEND": "qemu"}
    env["OV_VM_CPUS"] = "1"  # with two, an emulated kernel may panic in its scheduler
    done = room.run("bash", "-euxc", script, cwd=project, env=env)
    lines = done.stdout.splitlines()
    assert "output/box/qcow2/disk.qcow2" in lines
    assert "made from a containerfile" in lines
    assert lines[-4:] == ["root", "console=ttyS0", "uefi", "0"]
    assert not list(project.glob("output/**/*.raw"))

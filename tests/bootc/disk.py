"""What is on an installed disk, looked at from outside: no mount, no loop device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ovtasks.host.run import run


def partitions(disk: Path) -> list[dict[str, Any]]:
    """The partition table as sfdisk has it; sizes are in sectors of 512 bytes."""
    table: list[dict[str, Any]] = json.loads(run(["sfdisk", "--json", disk]).stdout)["partitiontable"]["partitions"]
    return table


def offset(disk: Path) -> int:
    """Of the root file system, in bytes."""
    return int(partitions(disk)[-1]["start"]) * 512


def filesystem(disk: Path) -> dict[str, str]:
    """What blkid says of the root file system."""
    said = run(["blkid", "--probe", "--output", "export", "--offset", str(offset(disk)), disk]).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def cat(disk: Path, path: str) -> str:
    """A file of an ext4 root file system; empty: it is not there."""
    return run(["debugfs", "-R", f"cat {path}", f"{disk}?offset={offset(disk)}"]).stdout


def entry(disk: Path, key: str) -> str:
    """``linux``, ``initrd`` or ``options`` of the boot loader's entry."""
    lines = cat(disk, "/boot/loader/entries/ostree-1.conf").splitlines()
    return next(line.removeprefix(f"{key} ") for line in lines if line.startswith(f"{key} "))


def aleph(disk: Path) -> dict[str, Any]:
    """What the installer noted of itself."""
    found: dict[str, Any] = json.loads(cat(disk, "/.bootc-aleph.json"))
    return found


def origin(disk: Path) -> str:
    """Where the installed system looks for upgrades."""
    name = aleph(disk)["digest"].removeprefix("sha256:")
    return (
        cat(disk, f"/ostree/deploy/default/deploy/{name}.0.origin").rpartition("container-image-reference=")[2].strip()
    )

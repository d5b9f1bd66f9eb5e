"""Which firmware starts a disk: real partition tables, made by sfdisk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.host.run import run
from ovtasks.images.partitions import Bootable, bootable

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ((BIOS_BOOT, ESP, ROOT), Bootable(bios=True, uefi=True)),
        ((ESP, ROOT), Bootable(bios=False, uefi=True)),
        ((BIOS_BOOT, ROOT), Bootable(bios=True, uefi=False)),
        ((ROOT,), Bootable(bios=False, uefi=False)),
    ],
)
def test_the_table_tells(tmp_path: Path, types: tuple[str, ...], found: Bootable) -> None:
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    script = "label: gpt\n" + "".join(f"size=8MiB, type={type}\n" for type in types)
    run(["sfdisk", "--quiet", disk], stdin=script.encode())
    assert bootable(disk) == found


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"EFI PART" * 512, b"\0" * 512 + b"EFI PART" + b"\xff" * 4096])
def test_without_a_table_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(content)
    assert bootable(disk) is None

"""Makes a disk image from a root tree, without a loop device, a mount or GRUB's installer. It boots with BIOS and UEFI.

Layout (GPT): BIOS boot partition with GRUB's core image, EFI system partition with the distribution's signed shim and
GRUB (Arch Linux: GRUB alone, unsigned), root file system last, so that it can grow. We set every identifier and time,
so equal trees give equal images.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import copy_extents
from ovtasks.host.run import run
from ovtasks.sources.bootstrap.overlay import early_cfg
from ovtasks.sources.bootstrap.recipe import Recipe
from ovtasks.sources.bootstrap.sandbox import inside
from ovtasks.sources.bootstrap.tree import RootTree

SECTOR = 512
MIB = 1 << 20
BIOS_START, BIOS_SIZE = MIB, MIB
ESP_START, ESP_SIZE = 2 * MIB, 64 * MIB
ROOT_START = ESP_START + ESP_SIZE
JOURNAL = 32  # MiB; mke2fs would choose a size that fits the small disk, which grows later
ROUND = 64 * MIB

BIOS_BOOT_TYPE = "21686148-6449-6E6F-744E-656564454649"
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

# Offsets in GRUB's boot.img and core.img that an installer fills in: include/grub/i386/pc/boot.h of GRUB 2.
KERNEL_SECTOR = 0x5C  # boot.img: the sector where core.img begins, 64 bits
DRIVE_CHECK = 0x66  # boot.img: two NOPs make it use the drive that the BIOS booted from
BLOCK_LIST = 0x1F4  # core.img: the number of its second sector, 64 bits
BOOT_CODE_SIZE = 440  # bytes; the rest of the first sector belongs to the partition table


@dataclass(frozen=True, slots=True)
class Raw:
    """A finished raw disk; ``size`` in bytes."""

    path: Path
    size: int


def assemble(recipe: Recipe, tree: RootTree, scratch: Path) -> Raw:
    """Make ``scratch/disk.raw``.

    :raises MissingProgramError: a file system's tool is not installed.
    :raises OvError: a tool failed, or the distribution has no signed boot loader.
    """
    root = root_filesystem(recipe, tree, scratch / "root.img")
    esp = _esp(recipe, tree, scratch / "esp.img")
    size = ROOT_START + root.stat().st_size + MIB  # the last MiB: the second copy of the partition table
    disk = scratch / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(size)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], stdin=partition_table(recipe).encode())
    with disk.open("r+b") as file:
        if recipe.arch.bios:
            boot, core = boot_sectors((tree.boot / "boot.img").read_bytes(), (tree.boot / "core.img").read_bytes())
            _write(file.fileno(), 0, boot)
            _write(file.fileno(), BIOS_START, core)
        _copy(esp, file.fileno(), ESP_START)
        _copy(root, file.fileno(), ROOT_START)
    root.unlink()
    return Raw(disk, size)


def partition_table(recipe: Recipe) -> str:
    """The partition table as input for sfdisk(8). The root partition takes the space that is left."""
    lines = ["label: gpt", f"label-id: {recipe.identifier('disk')}", f"first-lba: {MIB // SECTOR}"]
    rows: list[tuple[int, int | None, str, str]] = [
        (ESP_START, ESP_SIZE, ESP_TYPE, "esp"),
        (ROOT_START, None, recipe.arch.root_type, "root"),
    ]
    if recipe.arch.bios:
        rows.insert(0, (BIOS_START, BIOS_SIZE, BIOS_BOOT_TYPE, "bios"))
    for start, size, kind, name in rows:
        extent = f"start={start // SECTOR}" + (f", size={size // SECTOR}" if size else "")
        lines.append(f'{extent}, type={kind}, uuid={recipe.identifier("partition " + name)}, name="{name}"')
    return "\n".join(lines) + "\n"


def boot_sectors(boot: bytes, core: bytes) -> tuple[bytes, bytes]:
    """GRUB's two images, with the sectors filled in where they will lie on the disk.

    :raises OvError: the core image does not fit into its partition, or these are not GRUB's images.
    """
    if len(boot) != SECTOR or not SECTOR < len(core) <= BIOS_SIZE:
        raise OvError(f"GRUB's images have sizes of {len(boot)} and {len(core)} bytes, which cannot be right")
    first, rest = bytearray(boot), bytearray(core)
    struct.pack_into("<Q", first, KERNEL_SECTOR, BIOS_START // SECTOR)
    first[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    struct.pack_into("<Q", rest, BLOCK_LIST, BIOS_START // SECTOR + 1)
    return bytes(first[:BOOT_CODE_SIZE]), bytes(rest)


def root_size(tree: RootTree) -> int:
    """The size of the root file system in bytes: the tree, the file system's own data, and a quarter to spare."""
    need = tree.blocks * 4096 + tree.inodes * 4096 + JOURNAL * MIB
    return -(-need * 5 // 4 // ROUND) * ROUND


def root_filesystem(recipe: Recipe, tree: RootTree, image: Path) -> Path:
    """Make ``image`` a file system of the recipe's kind with the tree in it.

    :raises CommandError: the program that makes it failed.
    """
    with image.open("wb") as file:
        file.truncate(root_size(tree))
    if recipe.rootfs == "btrfs":
        identity = ("--label", "root", "--uuid", recipe.identifier("root"))
        inside(["mkfs.btrfs", "--quiet", *identity, "--rootdir", tree.root, image], epoch=tree.epoch)
        return image
    extended = f"hash_seed={recipe.identifier('hash')},lazy_itable_init=0,root_owner=0:0"
    inside(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-I", "256", "-J", f"size={JOURNAL}"),
            *("-N", str(tree.inodes * 2)),
            *("-O", "^metadata_csum_seed,^orphan_file"),  # GRUB before 2.12 refuses a file system that has the first
            *("-U", recipe.identifier("root"), "-L", "root", "-E", extended, "-d", tree.root, image),
        ],
        epoch=tree.epoch,
    )
    _set_times(image, tree)
    return image


def _set_times(image: Path, tree: RootTree) -> None:
    """Set the times in all inodes. mke2fs copies the time of change (ctime) from the tree, where nobody can set it."""
    used = _used_inodes(image)
    script = image.with_suffix(".debugfs")
    with script.open("w", encoding="ascii") as file:
        for inode in (2, *range(11, used + 1)):
            for name in ("atime", "ctime", "crtime"):
                file.write(f"set_inode_field <{inode}> {name} @{tree.epoch}\n")
    inside(["debugfs", "-w", "-f", script, image], epoch=tree.epoch)
    script.unlink()


def _used_inodes(image: Path) -> int:
    """The number of the last used inode. mke2fs gives them in order: it is the superblock's count minus those free."""
    with image.open("rb") as file:
        superblock = os.pread(file.fileno(), 1024, 1024)
    (count,) = struct.unpack_from("<I", superblock, 0)
    (free,) = struct.unpack_from("<I", superblock, 16)
    return int(count - free)


def _esp(recipe: Recipe, tree: RootTree, image: Path) -> Path:
    """Make the EFI system partition: shim under the name that firmware looks for, GRUB beside it, and its grub.cfg.

    :raises OvError: the distribution has no signed boot loader for this architecture.
    """
    arch = recipe.arch
    folder = image.parent / "esp"
    boot, vendor = folder / "EFI/BOOT", folder / "EFI" / recipe.distro  # the signed GRUB reads /EFI/<distro>/grub.cfg
    boot.mkdir(parents=True)
    if recipe.pacman:  # GRUB with our early configuration inside; nobody signs it, so there is no Secure Boot
        (boot / arch.removable).write_bytes((tree.boot / f"grub{arch.efi}.efi").read_bytes())
    else:
        _signed_loader(recipe, tree, boot, vendor)
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (tree.epoch, tree.epoch))
    with image.open("wb") as file:
        file.truncate(ESP_SIZE)
    serial = recipe.identifier("esp")[:8]
    run(["mkfs.fat", "--invariant", "-F", "32", "-s", "1", "-i", serial, "-n", "ESP", image])
    environment = {"SOURCE_DATE_EPOCH": str(tree.epoch), "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    run(["mcopy", "-s", "-p", "-m", "-i", image, folder / "EFI", "::/"], env=environment)
    return image


def _signed_loader(recipe: Recipe, tree: RootTree, boot: Path, vendor: Path) -> None:
    arch = recipe.arch
    vendor.mkdir()
    shim = next((path for path in sorted(tree.boot.glob(f"shim{arch.efi}.efi.signed*"))), None)
    grub = tree.boot / f"grub{arch.efi}.efi.signed"
    if shim is None or not grub.is_file():
        raise OvError(f"{recipe.distro} {recipe.suite} has no signed boot loader for {recipe.architecture}")
    (boot / arch.removable).write_bytes(shim.read_bytes())
    (boot / f"grub{arch.efi}.efi").write_bytes(grub.read_bytes())
    (vendor / "grub.cfg").write_text(early_cfg(recipe), encoding="utf-8")


def _write(fd: int, offset: int, data: bytes) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _copy(source: Path, fd: int, offset: int) -> None:
    """Copy the source's data, not its holes, to ``offset`` of an open sparse file."""
    with source.open("rb") as file:
        copy_extents(file.fileno(), fd, source, at=offset)

"""The programs that make a root image, and what a VM's recipe adds to them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ovtasks.host import packages
from ovtasks.host.programs import FILES
from ovtasks.sources.bootstrap.pacman import PACMAN_DISTROS
from ovtasks.values.jsonvalue import Json

DISK = ("unshare", "sfdisk", "mkfs.fat", "mcopy", "qemu-img")
PROGRAMS = ("mmdebstrap", "dpkg-deb", *DISK)
# pacman-key reads the shell functions of makepkg, which Debian packs apart and only recommends.
PACSTRAP_PROGRAMS = ("pacstrap", "pacman", "pacman-key", "makepkg", "gpg", "mount", *DISK)
OF_ROOT = {"ext4": ("mke2fs", "debugfs"), "btrfs": ("mkfs.btrfs",)}
"""Further programs, by the root's file system."""


def needed(source: Mapping[str, Json]) -> tuple[str, ...]:
    """All programs that ``source`` needs, and the keys of a distribution other than the host's, which apt lacks."""
    of_root = OF_ROOT.get(str(source.get("rootfs")), OF_ROOT["ext4"])
    mapping = () if os.geteuid() == 0 else ("newuidmap",)
    distro = str(source.get("distro", "debian"))
    if distro in PACMAN_DISTROS:
        keys = () if source.get("keyring") else ("archlinux-keyring",)
        return (*PACSTRAP_PROGRAMS, *of_root, *keys)
    strange = f"{distro}-keyring" in FILES and packages.os_release().get("ID") != distro
    return (*PROGRAMS, *of_root, *mapping, *((f"{distro}-keyring", "gpg") if strange else ()))

"""The table of settings: what each is called, which values it takes, and what it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ovtasks import registry
from ovtasks.errors import InputError
from ovtasks.values.sizes import MIN_DISK, MIN_RAM, MiB, format_size, parse_size
from ovtasks.values.urls import check_url, is_web
from ovtasks.values.words import shown

MAX_CPUS = 4096


@dataclass(frozen=True)
class Setting:
    """One setting.

    Its value is a word of ``allowed``, a name that the registry has in the group ``plugins``, or what ``read`` accepts.
    ``flag`` is the option of ``ov vm`` that wins over it, if there is one. ``example`` says what ``read`` accepts.
    """

    name: str
    variable: str
    meaning: str
    allowed: tuple[str, ...]
    default: str = "auto"
    plugins: str | None = None
    read: Callable[[str], object] | None = None
    flag: str | None = None
    example: str = "a size such as 8G"


def _size(least: int) -> Callable[[str], object]:
    def read(text: str) -> object:
        size = parse_size(text, bare=MiB)
        if size < least:
            raise InputError(f"{text} is too small: at least {format_size(least)}")
        return size

    return read


def _cpus(text: str) -> object:
    if re.fullmatch("[0-9]{1,9}", text) is None or not 1 <= int(text) <= MAX_CPUS:
        raise InputError(f"{shown(text)} is not a number of processors", hint=f"1 to {MAX_CPUS}")
    return int(text)


def _mirror(text: str) -> object:
    if not is_web(text):
        raise InputError(f"{shown(text)} is not a web address", hint="for example https://mirror.example.org/images")
    check_url(text)
    if {"@", "?"} & {*text}:
        raise InputError("has a password or a query", hint="a password belongs in ~/.netrc")
    return text


SETTINGS = {
    key.name: key
    for key in (
        Setting(
            "vm.backend",
            "OV_VM_BACKEND",
            "what runs VMs that say backend: auto; auto: libvirt, else qemu",
            ("auto", "libvirt", "qemu"),
            plugins=registry.BACKENDS,
        ),
        Setting(
            "vm.accel",
            "OV_VM_ACCEL",
            "for VMs that say accel: auto; auto: KVM where it really works, else emulation",
            ("auto", "kvm", "tcg"),
        ),
        Setting(
            "vm.ram",
            "OV_VM_RAM",
            "memory of VMs without ram:",
            (),
            "4G",
            read=_size(MIN_RAM),
            flag="ov vm create --ram",
        ),
        Setting(
            "vm.cpus",
            "OV_VM_CPUS",
            "processors of VMs without cpus:",
            (),
            "2",
            read=_cpus,
            flag="ov vm create --cpus",
            example="a number",
        ),
        Setting(
            "vm.disk_size",
            "OV_VM_DISK_SIZE",
            "disk of VMs without disk_size:; auto: the image's own size, 10G for bootc",
            ("auto",),
            read=_size(MIN_DISK),
            flag="ov vm build --size",
        ),
        Setting(
            "vm.root_size",
            "OV_VM_ROOT_SIZE",
            "root partition of bootc VMs without source.root_size:; auto: the whole disk",
            ("auto",),
            read=_size(MIN_DISK),
            flag="ov vm build --root-size",
        ),
        Setting(
            "vm.rootfs",
            "OV_VM_ROOTFS",
            "file system of disks that ov makes, for VMs without source.rootfs:; auto: ext4",
            ("auto", "ext4", "xfs", "btrfs"),
        ),
        Setting(
            "vm.transport",
            "OV_VM_TRANSPORT",
            "how bootc images without source.transport: are read; auto: registry",
            ("auto", "registry", "containers-storage"),
            flag="ov vm build --transport",
        ),
        Setting(
            "engine.rootful",
            "OV_ENGINE_ROOTFUL",
            "how containers that need root are run: as root, by sudo, in podman's machine",
            ("auto", "native", "sudo", "machine"),
        ),
        Setting("engine.build", "OV_BUILD_ENGINE", "what builds container images; auto: podman", ("auto", "podman")),
        Setting("engine.run", "OV_RUN_ENGINE", "what runs containers; auto: podman", ("auto", "podman")),
        Setting(
            "images.mirror",
            "OV_IMAGES_MIRROR",
            "where official images are fetched, as MIRROR/HOST/PATH; auto: from the distributions' servers",
            ("auto",),
            read=_mirror,
            example="a web address",
        ),
    )
}

"""What a bootstrap image is made of: distributions, suites, architectures, packages. Refuses what cannot be made."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ovtasks.errors import InputError, Where
from ovtasks.project.model import BootstrapSource
from ovtasks.sources.bootstrap.pacman import BASE, KERNELS, PACMAN_DISTROS, Pacman, pacman_of
from ovtasks.values.arch import Arch, arch_of
from ovtasks.values.jsonvalue import Json, digest

RECIPE = 2  # raise it when the code makes another image from the same inputs
CONFIGURE_TIME = (
    1686355200  # SOURCE_DATE_EPOCH while packages are configured; the files' own times come from the packages
)
UUIDS = uuid.UUID("6f0c1f5e-3b3c-4d6b-9d0d-6c1f0b7a5c11")  # namespace of all identifiers inside the images

ROOT_FILESYSTEMS = {"ext4": "e2fsprogs", "btrfs": "btrfs-progs"}
VARIANTS = (
    "apt",
    "minbase",
    "required",
    "buildd",
    "important",
    "debootstrap",
    "standard",
)  # those that contain apt
BUILDERS = ("mmdebstrap", "debootstrap")  # debootstrap is accepted as another word for mmdebstrap, which makes the same
PACMAN_BUILDERS = ("pacstrap",)

_BASE = (
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "libpam-systemd",
    "netbase",
    "netplan.io",
    "openssh-server",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
    "zstd",
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?")
_SUITE = re.compile(r"[a-z][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class DistroDefaults:
    """``resolved_inside``: suites whose systemd package still contains systemd-resolved."""

    stable: str
    components: str
    kernels: Mapping[str, str]
    resolved_inside: frozenset[str]


DISTROS = {
    "debian": DistroDefaults(
        stable="trixie",
        components="main",
        kernels={"amd64": "linux-image-cloud-amd64", "arm64": "linux-image-cloud-arm64"},
        resolved_inside=frozenset({"buster", "bullseye"}),
    ),
    "ubuntu": DistroDefaults(
        stable="noble",
        components="main,universe",
        kernels={"amd64": "linux-image-virtual", "arm64": "linux-image-virtual"},
        resolved_inside=frozenset({"bionic", "focal", "jammy"}),
    ),
}
ARCHITECTURES = ("amd64", "arm64")  # those with a signed shim
# Skips the kernel's timer test: under emulation on a busy host it misses ticks, and the kernel panics.
KERNEL_ARGS = {"amd64": ("no_timer_check",)}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an image, resolved and checked. VMs with equal recipes share one build step."""

    distro: str
    suite: str
    packages: tuple[str, ...]
    architecture: str
    variant: str
    rootfs: str
    kernel_args: tuple[str, ...]
    pacman: Pacman | None = None  # for the distributions that pacman serves; they have neither suite nor variant

    @property
    def inputs(self) -> dict[str, Json]:
        """What decides the image, as a step's inputs."""
        return {
            "distro": self.distro,
            "suite": self.suite,
            "packages": self.packages,
            "architecture": self.architecture,
            "variant": self.variant,
            "rootfs": self.rootfs,
            "kernel_args": self.kernel_args,
            "recipe": RECIPE,
            **(self.pacman.inputs() if self.pacman else {}),
        }

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits that name the recipe."""
        return digest(self.inputs)[:12]

    @property
    def arch(self) -> Arch:
        """The architecture's row in the table."""
        return arch_of(self.architecture)

    def identifier(self, role: str) -> str:
        """A UUID for one part of the image (``root``, ``disk`` …), the same for every build of this recipe."""
        return str(uuid.uuid5(UUIDS, f"{self.key}:{role}"))

    @property
    def kernel(self) -> str:
        """The name that the kernel's files in ``/boot`` end with; empty: the distribution keeps links to the newest."""
        return next(name for name in self.all_packages() if name in KERNELS) if self.pacman else ""

    def all_packages(self) -> tuple[str, ...]:
        """The wanted packages, and those that the image needs to boot, to grow and to be reached; sorted."""
        if self.pacman:
            rolling = PACMAN_DISTROS[self.distro]
            kernel = () if {*KERNELS} & {*self.packages} else (rolling.kernel,)
            return tuple(sorted({*BASE, *rolling.packages, *self.packages, *kernel, ROOT_FILESYSTEMS[self.rootfs]}))
        distro = DISTROS[self.distro]
        wanted = {*_BASE, *self.packages, ROOT_FILESYSTEMS[self.rootfs]}
        if self.suite not in distro.resolved_inside:
            wanted.add("systemd-resolved")
        if not any(re.match(r"linux-image-", name) for name in self.packages):
            wanted.add(distro.kernels[self.architecture])
        return tuple(sorted(wanted))


def resolve(source: BootstrapSource, where: Where, machine: str) -> Recipe:
    """The recipe for a source; ``machine`` is the host's ``uname -m``.

    :raises InputError: this kind of source cannot make it; the hint says what it can make.
    """

    def refuse(message: str, hint: str) -> InputError:
        return InputError(message, hint=hint, where=where)

    _check_builder(source, where)
    pacman = pacman_of(source, where) if source.distro in PACMAN_DISTROS else None
    distro = DISTROS.get(source.distro)
    if distro is None and pacman is None:
        raise refuse(
            f"source.kind bootstrap cannot make distro {source.distro!r}",
            f"supported: {', '.join((*DISTROS, *PACMAN_DISTROS))}; for others use source.kind cloud_image",
        )
    architecture = source.architecture or arch_of(machine).debian
    possible = ARCHITECTURES[:1] if pacman else ARCHITECTURES  # Arch Linux is for amd64 only
    if architecture not in possible:
        raise refuse(f"architecture {architecture!r} is not supported", f"supported: {', '.join(possible)}")
    if source.rootfs not in ROOT_FILESYSTEMS:
        raise refuse(
            f"rootfs {source.rootfs!r} is not supported by source.kind bootstrap",
            f"supported: {', '.join(ROOT_FILESYSTEMS)} (they can be filled from a folder without a mount)",
        )
    if source.variant not in VARIANTS:
        raise refuse(f"variant {source.variant!r} is not supported", f"supported: {', '.join(VARIANTS)}")
    suite = source.suite if source.suite is not None else distro.stable if distro else ""
    if distro and not _SUITE.fullmatch(suite):
        raise refuse(f"{suite!r} is not the name of a suite", f"for example {distro.stable}")
    if pacman and (suite or source.variant != BootstrapSource.variant):
        what = "suites" if suite else "variants"
        raise refuse(f"{source.distro} has no {what}", "it rolls: leave suite and bootstrap_variant out")
    for name in source.packages:
        if not _PACKAGE.fullmatch(name):
            raise refuse(f"{name!r} is not the name of a package", "name, name=version or name/suite")
    for arg in source.kernel_args:
        if not arg or "'" in arg or not arg.isprintable():
            raise refuse(f"kernel argument {arg!r} cannot be passed on", "printable text without single quotes")
    packages = tuple(sorted(set(source.packages)))
    variant = "" if pacman else source.variant
    return Recipe(source.distro, suite, packages, architecture, variant, source.rootfs, source.kernel_args, pacman)


def _check_builder(source: BootstrapSource, where: Where) -> None:
    possible = PACMAN_BUILDERS if source.distro in PACMAN_DISTROS else BUILDERS
    if source.builder not in (None, *possible):
        raise InputError(
            f"builder {source.builder!r} is not supported for {source.distro}",
            hint=f"supported: {', '.join(possible)}; for other distributions use source.kind cloud_image",
            where=where,
        )
    if source.distro not in PACMAN_DISTROS and (source.mirrors or source.repositories or source.keyrings):
        raise InputError(
            f"mirror, repositories and keyring have no meaning for {source.distro}",
            hint=f"they are for {', '.join(PACMAN_DISTROS)}; apt has the mirrors and keys of {source.distro}",
            where=where,
        )
    if source.builder_image is not None and source.builder not in (BUILDERS[1], *PACMAN_BUILDERS):
        raise InputError(
            "builder_image has no meaning here: the image is built without a container",
            hint="leave builder_image out",
            where=where,
        )

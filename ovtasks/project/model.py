"""The spec as values: one frozen dataclass per block of ``vms.yml``.

Sizes are bytes, paths are absolute, defaults are filled in where they do not depend on the machine. No ``slots``: they
would double the time that importing this module takes, and every run of doit imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import InputError, Where
from ovtasks.project.placement import LayerXml as LayerXml
from ovtasks.project.placement import Placement as Placement
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward
from ovtasks.values.sizes import GiB

if TYPE_CHECKING:
    from ovtasks.project.deploy_model import Deployment
    from ovtasks.project.layer_model import LayerSpec
    from ovtasks.values.mount import Mount


BOOTC_DISK = 10 * GiB
"""The disk of a bootc VM that says nothing about its size."""


class Injection(StrEnum):
    """Whether a channel carries the SSH key into the guest."""

    AUTO = "auto"
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Checksum:
    """How to verify an image. ``type`` is ``sha256``, ``sha512`` or ``none``.

    Without ``value`` a checksum file is used: the one at ``url`` (which may be relative to the image's), else one
    beside the image. ``fingerprints`` are the primary keys whose signatures count; empty: all of the keyring's. The
    keyring is a file, or is fetched from ``keyring_url``.
    """

    type: str = "sha256"
    value: str | None = None
    keyring: Path | None = None
    url: str | None = None
    keyring_url: str | None = None
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where the disk comes from. ``fields`` is the ``source:`` mapping as written (defaults not filled in)."""

    kind: str
    fields: Mapping[str, Json]


@dataclass(frozen=True)
class CloudImageSource(Source):
    """A ready disk image from ``url``. ``cache`` is a store for this image alone.

    ``official`` is its name in the list of official images, which then has filled in what the entry does not say.
    """

    url: str = ""
    official: str | None = None
    checksum: Checksum = Checksum()
    cache: Path | None = None
    base_user: str | None = None
    distro: str | None = None


@dataclass(frozen=True)
class BootcSource(Source):
    """A bootable container image. ``target_imgref`` is the image that upgrades in the guest follow.

    ``bootloader`` None: the one in the image. ``composefs`` None: boot loader and image decide.
    """

    image: str = ""
    transport: str = "registry"
    rootfs: str = "ext4"
    root_size: int | None = None
    kernel_args: tuple[str, ...] = ()
    target_imgref: str | None = None
    bootloader: str | None = None
    composefs: bool | None = None
    base_user: str | None = None
    distro: str | None = None


@dataclass(frozen=True)
class CloneSource(Source):
    """A copy of another VM of the project at one of its snapshots."""

    from_vm: str = ""
    from_snapshot: str = ""
    cloud_init_clean: bool = False
    base_user: str | None = None
    distro: str | None = None


@dataclass(frozen=True)
class ImportedSource(Source):
    """A domain of libvirt's that was there before us. No build writes to its disk.

    ``nvram_path`` is a copy of its firmware's variables, with which each instance begins; None: the firmware's own.
    """

    libvirt_name: str = ""
    disk_path: Path = Path("/")
    disk_format: str = "qcow2"
    nvram_path: Path | None = None
    adopted_at: str | None = None
    last_synced_at: str | None = None
    base_user: str | None = None
    distro: str | None = None


@dataclass(frozen=True)
class BootstrapSource(Source):
    """A disk made from a distribution's packages. ``suite`` None: the distribution's stable release.

    ``architecture`` is Debian's name (amd64, arm64); None: the host's. ``builder`` None: the distribution's. For those
    that pacman serves, ``mirrors`` are servers of Arch's repositories, ``repositories`` further ones (name, server),
    and ``keyrings`` files with the keys that packages are signed with; empty: the distribution's.
    """

    distro: str = "debian"
    suite: str | None = None
    packages: tuple[str, ...] = ()
    builder: str | None = None
    mirrors: tuple[str, ...] = ()
    repositories: tuple[tuple[str, str], ...] = ()
    keyrings: tuple[Path, ...] = ()
    builder_image: str | None = None
    architecture: str | None = None
    variant: str = "minbase"
    rootfs: str = "ext4"
    kernel_args: tuple[str, ...] = ()
    base_user: str | None = None


@dataclass(frozen=True)
class Network:
    """The first network card. ``bridge`` belongs to mode bridge, ``network`` (None: ``default``) to nat and network,
    ``dev`` to direct.
    """

    mode: str = "user"
    model: str = "virtio-net-pci"
    bridge: str | None = None
    network: str | None = None
    dev: str | None = None
    mac: str | None = None
    port_forwards: tuple[PortForward, ...] = ()


class HostKeyTrust(StrEnum):
    """Which SSH host key the first connection to a guest accepts."""

    PREPARED = "prepared"  # the one that we made
    FIRST_USE = "first_use"  # whichever the guest shows, if it cannot take ours


@dataclass(frozen=True)
class Ssh:
    """How SSH reaches the guest. ``user``: as written, else ``source.base_user``, else root for bootc, else None
    (nobody).

    ``port`` None: chosen by create. ``key_source``: ``auto``, ``generate``, ``none`` or an absolute path.
    """

    user: str | None = None
    port: int | None = None
    key_source: str = "auto"
    smbios: Injection = Injection.AUTO
    cloud_init: Injection = Injection.AUTO
    install: Injection = Injection.AUTO
    host_key: HostKeyTrust = HostKeyTrust.PREPARED


@dataclass(frozen=True)
class User:
    """An account in the guest. None: cloud-init's default."""

    name: str
    sudo: bool = False
    groups: tuple[str, ...] = ()
    shell: str | None = None
    lock_passwd: bool | None = None


@dataclass(frozen=True)
class WriteFile:
    """A file in the guest. ``perms`` is an octal mode; ``defer``: write it after users and packages."""

    path: str
    content: str = ""
    owner: str | None = None
    perms: str | None = None
    encoding: str | None = None
    append: bool = False
    defer: bool = False


@dataclass(frozen=True)
class Mirrors:
    """Package mirrors for the guest, best first."""

    apt: tuple[str, ...] = ()
    dnf: tuple[str, ...] = ()
    pacman: tuple[str, ...] = ()


@dataclass(frozen=True)
class OvInstall:
    """How the ``ov`` program gets into the guest; ``checksum`` is ``sha256:<hex>``."""

    strategy: str = "auto"
    url: str | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class CloudInit:
    """What cloud-init does at first boot. ``extra`` is merged into the user-data last.

    ``network`` is cloud-init's network-config, as written. Items of ``runcmd`` and ``bootcmd`` are a shell line or a
    list of arguments.
    """

    hostname: str | None = None
    timezone: str | None = None
    locale: str | None = None
    users: tuple[User, ...] = ()
    packages: tuple[str, ...] = ()
    runcmd: tuple[str | tuple[str, ...], ...] = ()
    bootcmd: tuple[str | tuple[str, ...], ...] = ()
    write_files: tuple[WriteFile, ...] = ()
    network: Mapping[str, Json] = field(default_factory=dict)
    mirrors: Mirrors = Mirrors()
    ov_install: OvInstall = OvInstall()
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that the VM should have. ``mode`` is ``external`` or ``internal``."""

    name: str
    description: str | None = None
    mode: str = "external"
    quiesce: bool = False
    from_: str | None = None


@dataclass(frozen=True)
class VmSpec:
    """One VM as declared. ``declared`` is its mapping with what it inherits, for ``ov plan`` and plugins.

    ``layers`` is the XML from layers that deployments apply to it, ``placed`` what else deployments say about it.
    ``bases`` are the places of the entries that it inherits from, the remotest first.
    ``compress`` is how the built qcow2 is compressed (``zstd``, ``zlib``); None: not at all.
    """

    name: str
    source: Source
    where: Where
    disk_size: int | None = None
    ram: int = 4 * GiB
    cpus: int = 2
    machine: str | None = None
    firmware: Firmware = Firmware.BIOS
    backend: str = "auto"
    accel: str = "auto"
    autostart: bool = False
    compress: str | None = None
    network: Network = Network()
    ssh: Ssh = Ssh()
    cloud_init: CloudInit | None = None
    libvirt: Mapping[str, Json] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    eval: tuple[Json, ...] = ()
    deploy_eval: tuple[Json, ...] = ()
    declared: Mapping[str, Json] = field(default_factory=dict)
    layers: tuple[LayerXml, ...] = ()
    placed: tuple[Placement, ...] = ()
    bases: tuple[Where, ...] = ()

    @property
    def domain(self) -> str:
        """The name of the VM's default instance for backends and in the data folder."""
        return f"ov-{self.name}"

    @property
    def asked_ov(self) -> OvInstall | None:
        """``cloud_init.ov_install`` if it is written; deployments do nothing about ``ov`` without it."""
        block = self.declared.get("cloud_init")
        written = isinstance(block, Mapping) and "ov_install" in block
        return self.cloud_init.ov_install if written and self.cloud_init is not None else None

    def placement(self, instance: str | None) -> Placement:
        """What deployments say about one instance; of several that speak of it, the first to say something counts."""
        found = [one for one in self.placed if one.instance == instance]
        values = zip(*found, strict=True) if found else [(None,)] * len(Placement._fields)
        return Placement(*(next((value for value in column if value is not None), None) for column in values))


class Pull(StrEnum):
    """When to ask the registry: if the image is missing; at every build; never; at every build, if it answers."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"
    NEWER = "newer"


@dataclass(frozen=True)
class ImageSpec:
    """A container image: ``ref`` names it, or podman builds it from ``context`` or ``base`` (then ``ref`` is None).

    ``containerfile`` None: ``Containerfile``, else ``Dockerfile``, in ``context``. ``bootc`` None: not declared.
    ``base`` is another entry's name or a reference; ``layers`` are put into it, as ``user`` where they say ``${USER}``.
    """

    name: str
    where: Where
    ref: str | None = None
    context: Path | None = None
    containerfile: Path | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    base: str | None = None
    layers: tuple[str, ...] = ()
    user: str = "root"
    skip_incompatible: bool = False
    bootc: bool | None = None
    pull: Pull = Pull.MISSING
    tls_verify: bool = True


@dataclass(frozen=True)
class Project:
    """Everything declared in one project.

    ``files`` are all files that were read or looked for. ``variables`` are the environment variables in their paths.
    ``deployments`` are those of ``deploy.yml``. ``layers`` are those that deployments and images name, with all that
    they need; :func:`~ovtasks.project.layers.layers_of` gives them in order, and others too. ``wrong`` is what is wrong
    with an entry, by a VM's name, ``image:<name>`` or ``deploy:<name>``.
    """

    root: Path
    vms: Mapping[str, VmSpec]
    files: tuple[Path, ...]
    images: Mapping[str, ImageSpec] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    layers: Mapping[str, LayerSpec] = field(default_factory=dict)
    wrong: Mapping[str, tuple[InputError, ...]] = field(default_factory=dict)

    @property
    def mistakes(self) -> tuple[InputError, ...]:
        """Every error in the files, once; the entries that they spoil are not in ``vms``, ``images``, ``deployments``.

        An image that another program builds is no error as long as nobody needs it.
        """
        found = {str(error): error for errors in self.wrong.values() for error in errors if error.owners}
        return tuple(sorted(found.values(), key=lambda e: (e.where.file, e.where.line) if e.where else ("", 0)))

    @property
    def output(self) -> Path:
        """Artifacts: rebuildable, one folder per VM."""
        return self.root / "output"

    @property
    def state(self) -> Path:
        """What ov remembers about this project. Losing it costs time, never results."""
        return self.output / ".ov"

    @property
    def lock_file(self) -> Path:
        """The file that pins what image URLs stand for."""
        return self.root / "ovtasks.lock"

    def artifacts(self, vm: str, type: str) -> Path:
        """``output/<vm>/<type>``: the folder of the disk and its seed."""
        return self.output / vm / type

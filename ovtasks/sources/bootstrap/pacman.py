"""Arch Linux and its kin: their repositories, keys and packages, and the configuration of pacman that says so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.project.model import BootstrapSource
from ovtasks.values.jsonvalue import Json

KEYRINGS = (Path("/usr/share/pacman/keyrings"), Path("/usr/share/keyrings"))  # Debian has them in the second
BASE = (
    *("base", "cloud-guest-utils", "cloud-init", "grub", "mkinitcpio", "netplan", "openssh", "sudo"),
    *("systemd-resolvconf", "zstd"),
)
KERNELS = ("linux", "linux-lts", "linux-zen", "linux-hardened", "linux-cachyos", "linux-cachyos-lts")
"""Packages that are a kernel: one of them among the wanted packages replaces the distribution's default."""


@dataclass(frozen=True, slots=True)
class PacmanDistro:
    """``own`` are repositories besides Arch's, asked first: name → server. ``keyrings`` are names in ``KEYRINGS``.

    ``packages`` are needed besides ``BASE``: the guest, too, has to know the keys of its repositories.
    """

    kernel: str
    keyrings: tuple[str, ...]
    own: Mapping[str, str]
    packages: tuple[str, ...] = ()


ARCH_SERVER = "https://geo.mirror.pkgbuild.com/$repo/os/$arch"
ARCH_REPOSITORIES = ("core", "extra")
PACMAN_DISTROS = {
    "archlinux": PacmanDistro("linux", ("archlinux",), {}),
    "cachyos": PacmanDistro(
        "linux-cachyos",
        ("archlinux", "cachyos"),
        {"cachyos": "https://mirror.cachyos.org/repo/$arch/$repo"},
        ("cachyos-keyring",),
    ),
}


@dataclass(frozen=True)
class Pacman:
    """Where the packages come from, and who may have signed them.

    ``repositories``: name → servers, in the order in which they are asked. ``keyrings`` are files with OpenPGP keys.
    """

    repositories: tuple[tuple[str, tuple[str, ...]], ...]
    keyrings: tuple[Path, ...]

    def inputs(self) -> dict[str, Json]:
        """What decides the image: the keys by their content, because the files may lie anywhere."""
        return {
            "repositories": [[name, list(servers)] for name, servers in self.repositories],
            "keys": [_digest(path) for path in self.keyrings],
        }

    def conf(self, gpg_folder: str) -> str:
        """pacman.conf(5) for the build. A package without a good signature is refused; Arch signs no databases."""
        lines = ["[options]", "Architecture = x86_64", "SigLevel = Required DatabaseOptional TrustedOnly"]
        lines += [f"GPGDir = {gpg_folder}", "ParallelDownloads = 5", ""]
        return "\n".join([*lines, *self.sections(*self.repositories)])

    def sections(self, *repositories: tuple[str, tuple[str, ...]]) -> list[str]:
        """The lines of pacman.conf(5) that name these repositories."""
        return [
            line
            for name, servers in repositories
            for line in (f"[{name}]", *(f"Server = {server}" for server in servers), "")
        ]

    @property
    def mirrors(self) -> tuple[str, ...]:
        """The servers of Arch's own repositories."""
        return dict(self.repositories)[ARCH_REPOSITORIES[0]]

    @property
    def further(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The repositories besides Arch's own."""
        return tuple(row for row in self.repositories if row[0] not in ARCH_REPOSITORIES)


def pacman_of(source: BootstrapSource, where: Where) -> Pacman:
    """The repositories and keys of a source.

    :raises InputError: a server is none, or a keyring that the entry names is not there.
    """
    distro = PACMAN_DISTROS[source.distro]
    servers = source.mirrors or (ARCH_SERVER,)
    own = dict(source.repositories) or distro.own
    for server in (*servers, *own.values()):
        if not server.startswith(("https://", "http://", "file:///")) or len(server.split()) != 1:
            hint = f"for example {ARCH_SERVER}; pacman fills in $repo and $arch"
            raise InputError(f"{server!r} is not a mirror for pacman", hint=hint, where=where)
    keyrings = source.keyrings or tuple(_installed(f"{name}.gpg") for name in distro.keyrings)
    for path in source.keyrings:
        if not path.is_file():
            raise InputError(f"the keyring {path} is not there", hint="source.keyring: a file of keys", where=where)
    rows = [*((name, (server,)) for name, server in own.items()), *((name, servers) for name in ARCH_REPOSITORIES)]
    return Pacman(tuple(rows), keyrings)


def _installed(name: str) -> Path:
    return next((folder / name for folder in KEYRINGS if (folder / name).is_file()), KEYRINGS[0] / name)


def _digest(path: Path) -> str | None:
    """The digest of a file; None: it is not there, which the build reports."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None

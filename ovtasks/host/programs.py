"""What a source or a goal needs of this host: programs, or files that stand for a package, and who brings them."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.host import packages
from ovtasks.host.which import MissingProgramError, which


@dataclass(frozen=True)
class Program:
    """A program by its name; or with ``files`` something else, of which one of these is enough.

    ``packages`` says by family (``debian``, ``fedora``, ``arch``, ``suse``) which package brings it, where that is not
    called like the program; ``""``: none does.
    """

    name: str
    packages: Mapping[str, str] = field(default_factory=dict, hash=False)
    files: tuple[str, ...] = ()

    def find(self) -> Path | None:
        """Where it is; None if it is missing."""
        if self.files:
            return next((Path(name) for name in self.files if Path(name).exists()), None)
        return which(self.name)

    def package(self, family: str) -> str | None:
        """The package that brings it; None if there is none."""
        if family in self.packages:
            return self.packages[family] or None
        return packages.package_of(self.name, family)

    def require(self) -> Path:
        """Where it is.

        :raises MissingProgramError: it is missing; the hint names this distribution's package.
        """
        found = self.find()
        if found is None:
            error = MissingProgramError(self.name)
            error.hint = install_hint([self])
            raise error
        return found


FILES = {
    "OVMF": (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
    ),
    "AAVMF": (
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/edk2/aarch64/QEMU_EFI.fd",
        "/usr/share/qemu/aavmf-aarch64-code.bin",
    ),
    "RISCV_VIRT": ("/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "/usr/share/edk2/riscv/RISCV_VIRT_CODE.fd"),
    "libvirt-qemu": (
        "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib/aarch64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so",
    ),
    "qemu-spice": (
        "/usr/lib/x86_64-linux-gnu/qemu/ui-spice-core.so",
        "/usr/lib/aarch64-linux-gnu/qemu/ui-spice-core.so",
        "/usr/lib64/qemu/ui-spice-core.so",
        "/usr/lib/qemu/ui-spice-core.so",
    ),
    "virtiofsd": ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"),
    "archlinux-keyring": ("/usr/share/pacman/keyrings/archlinux.gpg", "/usr/share/keyrings/archlinux.gpg"),
    "debian-keyring": ("/usr/share/keyrings/debian-archive-keyring.gpg",),
    "ubuntu-keyring": ("/usr/share/keyrings/ubuntu-archive-keyring.gpg",),
    "registry": ("/usr/bin/docker-registry", "/usr/bin/registry"),
    "libvirt.h": ("/usr/include/libvirt/libvirt.h",),
    "Python.h": (f"{sysconfig.get_path('include')}/Python.h",),
}
"""Things that are not programs, and where distributions put them."""


def as_program(need: str | Program) -> Program:
    """A need by name alone is one that this house knows, or a program whose package has its name."""
    return Program(need, files=FILES.get(need, ())) if isinstance(need, str) else need


def install_hint(needs: list[Program]) -> str:
    """One line that says how to get what is missing here."""
    family = packages.family()
    found = [family and need.package(family) for need in needs]
    if family is None or not all(found):
        return f"install what brings {', '.join(need.name for need in needs)}"
    return f"{packages.INSTALL[family]} {' '.join(dict.fromkeys(filter(None, found)))}"

"""The architectures of machines, and what each is called by whom: the one table; whoever needs a name asks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arch:
    """``name`` is the kernel's (``uname -m``) and libvirt's; ``qemu`` ends the name of QEMU's program
    (``qemu-system-…``), ``debian`` is Debian's and ``oci`` the one of container images, which is Go's.

    ``machine`` is QEMU's usual type of machine, ``bios`` says whether it has a PC's BIOS, and ``console`` is the
    kernel's name of its first serial port. ``efi`` ends the names of EFI programs (``BOOTX64.EFI``, ``grubx64.efi``),
    ``coff`` is the machine's number in their headers, and ``firmware`` our name of what brings the firmware that starts
    them (:mod:`ovtasks.host.packages`). ``root_type`` is the type of a root partition, by the Discoverable Partitions
    Specification. ``slow`` are features of QEMU's CPU ``max`` that cost a guest much when it is emulated.
    """

    name: str
    qemu: str
    debian: str
    oci: str
    machine: str = "virt"
    bios: bool = False
    console: str = "ttyS0"
    efi: str = ""
    coff: int = 0
    firmware: str | None = None
    root_type: str = ""
    slow: tuple[str, ...] = ()

    @property
    def removable(self) -> str:
        """The program that its firmware starts from any disk (``BOOTX64.EFI``); empty: not known."""
        return self.efi and f"BOOT{self.efi.upper()}.EFI"

    @property
    def uefi_only(self) -> bool:
        """Starts by UEFI, and has no BIOS."""
        return self.efi != "" and not self.bios


ARCHES = (
    Arch(
        *("x86_64", "x86_64", "amd64", "amd64"),
        machine="q35",
        bios=True,
        efi="x64",
        coff=0x8664,
        firmware="OVMF",
        root_type="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        slow=("la57",),  # five-level page tables: a third of the speed, when every walk is emulated
    ),
    Arch(
        *("aarch64", "aarch64", "arm64", "arm64"),
        console="ttyAMA0",
        efi="aa64",
        coff=0xAA64,
        firmware="AAVMF",
        root_type="B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    ),
    Arch(
        *("riscv64", "riscv64", "riscv64", "riscv64"),
        efi="riscv64",
        coff=0x5064,
        firmware="RISCV_VIRT",
        root_type="72EC70A6-CF74-40E6-BD49-4BDA08E8F224",
    ),
    Arch(
        *("loongarch64", "loongarch64", "loong64", "loong64"),
        efi="loongarch64",
        coff=0x6264,
        root_type="77055800-792C-4F94-B39A-98C91B762BB6",
    ),
    Arch(
        *("i686", "i386", "i386", "386"),
        machine="q35",
        bios=True,
        efi="ia32",
        coff=0x014C,
        root_type="44479540-F297-41B2-9AF7-D131D5F0458A",
    ),
    Arch(
        *("armv7l", "arm", "armhf", "arm"),
        console="ttyAMA0",
        efi="arm",
        coff=0x01C2,
        root_type="69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",
    ),
)
_BY_NAME = {name: arch for arch in ARCHES for name in (arch.name, arch.debian)}


def arch_of(name: str) -> Arch:
    """The row of an architecture, by the kernel's name or Debian's; one that is not in the table is called by that name
    everywhere, and nothing more is known of it."""
    name = name.lower()
    return _BY_NAME.get(name) or Arch(name, name, name, name)


def slow_features(arch: str, accel: str) -> tuple[str, ...]:
    """Features of QEMU's CPU ``max`` that are to be switched off under ``accel`` (kvm, tcg)."""
    return arch_of(arch).slow if accel == "tcg" else ()

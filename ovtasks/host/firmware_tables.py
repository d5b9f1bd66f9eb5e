"""Where distributions put UEFI firmware, for hosts without firmware descriptors.

Format: (family, code, template of the variables), below /usr/share. The family is one of :mod:`.packages`, or ``qemu``
for firmware that QEMU itself ships.
"""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.values.firmware import Firmware

# Only pairs that QEMU accepts: a flash image must have exactly the size of the flash chip (64 MiB on aarch64), so a
# bare QEMU_EFI.fd is left out. Of Secure Boot pairs only those whose template has keys: Arch Linux has none.
_INSECURE = {
    "x86_64": (
        ("debian", "OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
        ("debian", "OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
        ("fedora", "edk2/ovmf/OVMF_CODE_4M.qcow2", "edk2/ovmf/OVMF_VARS_4M.qcow2"),
        ("fedora", "OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
        ("fedora", "edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
        ("arch", "edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
        ("arch", "edk2-ovmf/x64/OVMF_CODE.fd", "edk2-ovmf/x64/OVMF_VARS.fd"),
        ("suse", "qemu/ovmf-x86_64-4m-code.bin", "qemu/ovmf-x86_64-4m-vars.bin"),
        ("suse", "qemu/ovmf-x86_64-code.bin", "qemu/ovmf-x86_64-vars.bin"),
        ("gentoo", "edk2-ovmf/OVMF_CODE.fd", "edk2-ovmf/OVMF_VARS.fd"),
        ("qemu", "qemu/edk2-x86_64-code.fd", "qemu/edk2-i386-vars.fd"),
    ),
    "aarch64": (
        ("debian", "AAVMF/AAVMF_CODE.no-secboot.fd", "AAVMF/AAVMF_VARS.fd"),
        ("debian", "AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
        ("fedora", "edk2/aarch64/QEMU_EFI-pflash.qcow2", "edk2/aarch64/vars-template-pflash.qcow2"),
        ("fedora", "edk2/aarch64/QEMU_EFI-pflash.raw", "edk2/aarch64/vars-template-pflash.raw"),
        ("arch", "edk2/aarch64/QEMU_CODE.fd", "edk2/aarch64/QEMU_VARS.fd"),
        ("arch", "edk2-armvirt/aarch64/QEMU_CODE.fd", "edk2-armvirt/aarch64/QEMU_VARS.fd"),
        ("suse", "qemu/aavmf-aarch64-code.bin", "qemu/aavmf-aarch64-vars.bin"),
        ("qemu", "qemu/edk2-aarch64-code.fd", "qemu/edk2-arm-vars.fd"),
    ),
    "riscv64": (
        ("debian", "qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "qemu-efi-riscv64/RISCV_VIRT_VARS.fd"),
        ("fedora", "edk2/riscv/RISCV_VIRT_CODE.qcow2", "edk2/riscv/RISCV_VIRT_VARS.qcow2"),
        ("qemu", "qemu/edk2-riscv-code.fd", "qemu/edk2-riscv-vars.fd"),
    ),
}
_SECURE = {
    "x86_64": (
        ("debian", "OVMF/OVMF_CODE_4M.ms.fd", "OVMF/OVMF_VARS_4M.ms.fd"),
        ("debian", "OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.ms.fd"),
        ("debian", "OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.ms.fd"),
        ("fedora", "edk2/ovmf/OVMF_CODE_4M.secboot.qcow2", "edk2/ovmf/OVMF_VARS_4M.secboot.qcow2"),
        ("fedora", "OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.secboot.fd"),
        ("fedora", "edk2/ovmf/OVMF_CODE.secboot.fd", "edk2/ovmf/OVMF_VARS.secboot.fd"),
        ("suse", "qemu/ovmf-x86_64-smm-ms-code.bin", "qemu/ovmf-x86_64-smm-ms-vars.bin"),
        ("gentoo", "edk2-ovmf/OVMF_CODE.secboot.fd", "edk2-ovmf/OVMF_VARS.secboot.fd"),
    ),
    "aarch64": (
        ("debian", "AAVMF/AAVMF_CODE.secboot.fd", "AAVMF/AAVMF_VARS.ms.fd"),
        ("debian", "AAVMF/AAVMF_CODE.ms.fd", "AAVMF/AAVMF_VARS.ms.fd"),
        ("debian", "AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.ms.fd"),
    ),
}


def _table(firmware: Firmware, arch: str) -> tuple[tuple[str, str, str], ...]:
    return (_SECURE if firmware is Firmware.UEFI_SECURE else _INSECURE).get(arch, ())


def brought(firmware: Firmware, arch: str, family: str) -> bool:
    """Whether we know a package of that family that brings this firmware."""
    return any(row[0] == family for row in _table(firmware, arch))


def places(firmware: Firmware, arch: str, family: str | None) -> Iterator[tuple[str, str]]:
    """Code and template, those of ``family`` first. The others follow, as a derivative may have another name."""
    for _, code, template in sorted(_table(firmware, arch), key=lambda row: row[0] != family):
        yield f"usr/share/{code}", f"usr/share/{template}"

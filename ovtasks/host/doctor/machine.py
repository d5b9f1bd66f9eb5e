"""Checks of what runs a guest: KVM, QEMU, its modules, firmware."""

from __future__ import annotations

import re
from pathlib import Path

from ovtasks.host import accel, firmware, vsock
from ovtasks.host.doctor.verdict import TRY, Verdict, broken, missing, note, ok
from ovtasks.host.packages import package_hint
from ovtasks.host.run import MissingProgramError, run, which
from ovtasks.values.arch import arch_of
from ovtasks.values.firmware import Firmware

OLDEST = (6, 2)  # version of QEMU; older ones were never tried


def emulator() -> Path:
    """QEMU for this machine's own architecture. On Enterprise Linux it has another name and lies outside of PATH.

    :raises MissingProgramError: QEMU is not installed.
    """
    name = f"qemu-system-{arch_of(accel.host_arch()).qemu}"
    for program in (name, "/usr/libexec/qemu-kvm"):
        if found := which(program):
            return found
    raise MissingProgramError(name)


def kvm(scratch: Path) -> Verdict:
    """Whether /dev/kvm works."""
    state = accel.kvm_state()
    if state.problem is None:
        return ok(f"{accel.KVM} opens" + (f", the CPU has {state.flag}" if state.flag else ""))
    if state.opens:
        return note(f"not used: {state.problem}", state.hint)
    return (broken if accel.KVM.exists() else missing)(f"{state.problem}; guests are emulated, slowly", state.hint)


def qemu_img(scratch: Path) -> Verdict:
    """Makes an image with qemu-img, as a build does."""
    version = _version(run(["qemu-img", "--version"], timeout=TRY).stdout)
    image = scratch / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], timeout=TRY)
    return ok(f"{version}, made an image of {image.stat().st_size >> 10} KiB")


def qemu(scratch: Path) -> Verdict:
    """The emulator's version."""
    program = emulator()
    version = _version(run([program, "--version"], timeout=TRY).stdout)
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if found < OLDEST:
        return broken(f"{program} is {version}, older than {OLDEST[0]}.{OLDEST[1]}", "upgrade the distribution")
    return ok(f"{version}, {program}")


def _version(text: str) -> str:
    found = re.search(r"version ([0-9][0-9.]*)", text)
    return found[1].rstrip(".") if found else "unknown version"


def accelerator(scratch: Path) -> Verdict:
    """Starts a machine with the accelerator that ``accel: auto`` picks here; no instruction runs."""
    chosen = accel.choose("auto", accel.host_arch())
    _start_machine(chosen, "")
    if chosen.kind == "kvm":
        return ok("kvm starts a machine")
    return note(f"tcg starts a machine: plain emulation, everything may take {chosen.deadline_factor} times longer")


def _start_machine(chosen: accel.Accel, options: str, *words: str) -> None:
    machine = f"{arch_of(accel.host_arch()).machine},accel={chosen.kind}{options}"
    argv = ["-machine", machine, "-cpu", chosen.cpu_model, "-nodefaults", "-no-user-config", "-display", "none", *words]
    run([emulator(), *argv, "-S", "-monitor", "stdio"], stdin=b"quit\n", timeout=TRY)


def spice(scratch: Path) -> Verdict:
    """Asks QEMU for SPICE, a module that may not be installed."""
    said = run([emulator(), "-spice", "help"], check=False, timeout=TRY).stdout
    if "port=" not in said:
        return missing("QEMU has no SPICE here; only for graphics of that type", package_hint("qemu-spice"))
    return ok("QEMU has it")


def virtio_gpu(scratch: Path) -> Verdict:
    """Asks QEMU for virtio's graphics card, which is a module, too."""
    said = run([emulator(), "-device", "help"], check=False, timeout=TRY).stdout
    found = [name for name in ("virtio-vga", "virtio-gpu-pci", "virtio-gpu-gl-pci") if f'"{name}"' in said]
    if not found:
        return missing("QEMU has no virtio-gpu device here; only for graphics", package_hint("qemu-virtio"))
    return ok(f"QEMU has {', '.join(found)}")


def vsock_device(scratch: Path) -> Verdict:
    """Whether guests can have vsock, by which they announce that they have booted."""
    if (problem := vsock.problem()) is not None:
        hint = f"as root: modprobe vhost_vsock; {vsock.DEVICE} must be yours to open"
        return missing(f"{problem}; guests are only asked whether they have booted", hint)
    return ok(f"{vsock.DEVICE} opens")


def bios(scratch: Path) -> Verdict:
    """Looks for QEMU's own BIOS."""
    arch = accel.host_arch()
    if not arch_of(arch).bios:
        return note(f"{arch} machines have none", "firmware: uefi-insecure")
    _start_machine(accel.choose("tcg", arch), "")
    return ok("QEMU's own")


def uefi_insecure(scratch: Path) -> Verdict:
    """Tries UEFI without Secure Boot."""
    return _uefi(Firmware.UEFI_INSECURE, scratch)


def uefi_secure(scratch: Path) -> Verdict:
    """Tries UEFI with Secure Boot."""
    return _uefi(Firmware.UEFI_SECURE, scratch)


def _uefi(wanted: Firmware, scratch: Path) -> Verdict:
    """Find the firmware, and start QEMU with it and with a copy of its variables."""
    arch = accel.host_arch()
    try:
        files = firmware.find(wanted, arch, arch_of(arch).machine)
    except firmware.NotInstalledError as e:
        return missing(e.message, e.hint)
    assert files is not None
    nvram = scratch / "nvram.fd"
    firmware.make_nvram(files.template, nvram)
    flash = [
        f"if=pflash,readonly=on,format={files.code_format},file={str(files.code).replace(',', ',,')}",
        f"if=pflash,format={files.nvram_format},file={nvram}",
    ]
    words = [word for drive in flash for word in ("-drive", drive)]
    _start_machine(accel.choose("tcg", arch), ",smm=on" if files.smm else "", *words)
    return ok(f"{files.code}" + (f" by {files.descriptor.name}" if files.descriptor else ""))

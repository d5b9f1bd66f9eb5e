"""Accelerators: what runs the guest's instructions, and which of them work on this host.

That /dev/kvm exists does not mean that KVM works: in some clouds the device opens and then a guest hangs. So on x86 the
CPU must also show the flag of its virtualization extension, as virt-host-validate(1) requires.
"""

from __future__ import annotations

import grp
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.users import user_name
from ovtasks.values.arch import arch_of, slow_features

KVM = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
KINDS = ("kvm", "tcg")
SLOWNESS = 10  # how much longer everything takes under TCG
EMULATED = f"emulated without KVM (TCG): everything may take {SLOWNESS} times longer"
"""What a user is told once, wherever it matters."""
_FLAGS = frozenset({"vmx", "svm"})  # Intel's, AMD's


@dataclass(frozen=True)
class Accel:
    """An accelerator. ``kind`` is ``kvm`` or ``tcg`` (plain emulation); ``why`` gives the reason for the choice in
    words.

    Multiply every deadline by ``deadline_factor``. ``cpu_model`` is a value of QEMU's ``-cpu``.
    """

    kind: str
    why: str
    deadline_factor: int
    cpu_model: str


@dataclass(frozen=True)
class KvmState:
    """What was found. ``opens``: the device opens for reading and writing. ``flag``: the CPU's flag, None if it has
    none.

    ``problem`` says why KVM is not used by default, None if it works; ``hint`` is the next step.
    """

    opens: bool
    flag: str | None = None
    problem: str | None = None
    hint: str | None = None


def host_arch() -> str:
    """This machine's architecture by the kernel's name: ``x86_64``, ``aarch64``, ``riscv64``."""
    return arch_of(platform.machine()).name


def usable(arch: str) -> tuple[str, ...]:
    """The accelerators that work here for guests of ``arch``, best first."""
    return KINDS if arch == host_arch() and kvm_state().problem is None else KINDS[1:]


def choose(wanted: str, arch: str, *, device: Path = KVM, cpuinfo: Path = CPUINFO) -> Accel:
    """The accelerator for ``wanted`` (``auto``, ``kvm``, ``tcg``), for a guest of ``arch``.

    Whoever writes ``kvm`` has decided: if the device opens, KVM is used even without the CPU's flag.

    :raises InputError: ``wanted`` is none of the three.
    :raises OvError: ``kvm`` is wanted and does not work; the error gives the reason and the next step.
    """
    if wanted not in ("auto", *KINDS):
        raise InputError(f"accelerator {wanted} is not known", hint="auto, kvm or tcg")
    if wanted == "tcg":
        return _tcg(arch, "emulation, as asked for")
    host = host_arch()
    if arch != host:
        if wanted == "kvm":
            raise OvError(f"KVM cannot run {arch} guests on this {host} host", hint="accel: tcg emulates any CPU")
        return _tcg(arch, f"emulation: a guest of {arch} on a host of {host}")
    found = kvm_state(device, cpuinfo)
    if found.problem is None:
        return _kvm(f"KVM: {device} opens" + (f" and the CPU has {found.flag}" if found.flag else ""))
    if wanted == "auto":
        return _tcg(arch, f"emulation: {found.problem}")
    if not found.opens:
        raise OvError(f"KVM cannot be used: {found.problem}", hint=found.hint)
    return _kvm(f"KVM, as asked for, although {found.problem}")


def _kvm(why: str) -> Accel:
    return Accel("kvm", why, 1, "host")


def _tcg(arch: str, why: str) -> Accel:
    return Accel("tcg", why, SLOWNESS, ",".join(["max", *(f"{name}=off" for name in slow_features(arch, "tcg"))]))


def kvm_state(device: Path = KVM, cpuinfo: Path = CPUINFO) -> KvmState:
    """Try the device, then look for the CPU's flag. Meant for guests of the host's own architecture."""
    flag = _cpu_flag(cpuinfo)
    x86 = host_arch() == "x86_64"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        if x86 and flag is None:
            hint = "switch virtualization (VT-x, AMD-V) on in the firmware setup, or nested virtualization on the host"
            return KvmState(False, flag, f"{device} does not exist, and the CPU shows neither vmx nor svm", hint)
        module = {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(flag or "", "kvm")
        return KvmState(False, flag, f"{device} does not exist", f"load the kernel module: modprobe {module}")
    except PermissionError:
        return KvmState(False, flag, f"{device} may not be opened by {user_name()}", _permission_hint(device))
    except OSError as e:  # ENXIO, ENODEV: a device node without a device, as in a container
        return KvmState(False, flag, f"{device} cannot be opened: {e.strerror}", "load the kernel module: modprobe kvm")
    if x86 and flag is None:
        problem = f"{device} opens, but the CPU shows neither vmx nor svm: guests have been seen to hang then"
        return KvmState(True, flag, problem, "accel: kvm tries it all the same")
    return KvmState(True, flag)


def _cpu_flag(cpuinfo: Path) -> str | None:
    """``vmx`` or ``svm``, from the first processor's ``flags`` (x86 only; proc(5))."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return next((word for word in line.split() if word in _FLAGS), None)
    except OSError:
        pass
    return None


def _permission_hint(device: Path) -> str:
    status = device.stat()
    if status.st_gid == 0 or status.st_mode & 0o060 != 0o060:
        return f"give it to the group kvm, as root: chgrp kvm {device} && chmod 0660 {device}"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"join its group, as root: usermod -aG {group} {user_name()}; then log in again"

"""Accelerators: the real device of this machine, and devices and CPUs that are files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.host.accel import KVM, choose, host_arch, kvm_state, usable
from ovtasks.host.run import run, which
from tests.support import leftovers

OTHER = "riscv64" if host_arch() != "riscv64" else "aarch64"
x86 = host_arch() == "x86_64"


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device that opens."""
    path = tmp_path / "kvm"
    path.touch()
    return path


def cpuinfo(tmp_path: Path, *flags: str) -> Path:
    path = tmp_path / "cpuinfo"
    one = f"processor\t: 0\nflags\t\t: fpu {' '.join(flags)} sse\nbugs\t\t: vmx_none\n"
    path.write_text(one * 2)
    return path


def test_host_arch_is_qemus_name() -> None:
    assert host_arch() in {"x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "loongarch64", "i686"}


def test_this_machine() -> None:
    """Whatever is here, the answers agree with each other."""
    found = usable(host_arch())
    assert found in (("kvm", "tcg"), ("tcg",))
    state = kvm_state()
    assert ("kvm" in found) == (state.problem is None)
    assert state.opens == (KVM.exists() and os.access(KVM, os.R_OK | os.W_OK))
    assert (state.hint is None) == (state.problem is None)
    chosen = choose("auto", host_arch())
    assert chosen.kind == found[0]
    assert chosen.deadline_factor == (1 if chosen.kind == "kvm" else 10)


def test_other_architectures_are_emulated(device: Path, tmp_path: Path) -> None:
    assert usable(OTHER) == ("tcg",)
    chosen = choose("auto", OTHER, device=device, cpuinfo=cpuinfo(tmp_path, "vmx"))
    assert (chosen.kind, chosen.cpu_model, chosen.deadline_factor) == ("tcg", "max", 10)
    assert OTHER in chosen.why
    with pytest.raises(OvError, match=f"cannot run {OTHER} guests"):
        choose("kvm", OTHER, device=device)


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_device_and_flag(device: Path, tmp_path: Path, flag: str) -> None:
    info = cpuinfo(tmp_path, flag)
    for wanted in ("auto", "kvm"):
        chosen = choose(wanted, host_arch(), device=device, cpuinfo=info)
        assert (chosen.kind, chosen.cpu_model, chosen.deadline_factor) == ("kvm", "host", 1)
        assert flag in chosen.why
    assert kvm_state(device, info).problem is None


@pytest.mark.parametrize("missing", [False, True])
def test_device_without_flag(device: Path, tmp_path: Path, missing: bool) -> None:
    info = tmp_path / "none" if missing else cpuinfo(tmp_path)
    state = kvm_state(device, info)
    assert state.opens
    if x86:
        assert state.problem is not None
        assert "neither vmx nor svm" in state.problem
        assert choose("auto", host_arch(), device=device, cpuinfo=info).kind == "tcg"
    explicit = choose("kvm", host_arch(), device=device, cpuinfo=info)
    assert explicit.kind == "kvm"
    assert not x86 or "although" in explicit.why


def test_no_device(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    for flag, hint in (("vmx", "modprobe kvm_intel"), ("svm", "modprobe kvm_amd")):
        info = cpuinfo(tmp_path, flag)
        assert choose("auto", host_arch(), device=device, cpuinfo=info).kind == "tcg"
        with pytest.raises(OvError, match="does not exist") as caught:
            choose("kvm", host_arch(), device=device, cpuinfo=info)
        assert caught.value.hint == f"load the kernel module: {hint}"


@pytest.mark.parametrize(("mode", "words"), [(0o600, "chgrp kvm"), (0o640, "chgrp kvm"), (0o060, "usermod -aG")])
def test_device_of_somebody_else(mode: int, words: str) -> None:
    """Asked by another user's process, because root may open everything."""
    with leftovers.folder("ov-", "/var/tmp") as folder:
        folder.chmod(0o711)
        device = folder / "kvm"
        device.touch()
        if os.geteuid() == 0:
            os.chown(device, 0, 5)
        device.chmod(mode)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                else:
                    device.chmod(0)
                found = kvm_state(device)
                assert not found.opens
                assert "may not be opened" in str(found.problem)
                assert words in str(found.hint) or os.geteuid() != 65534
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_group_is_named(device: Path, tmp_path: Path) -> None:
    from ovtasks.host.accel import _permission_hint

    if os.geteuid() != 0:
        assert _permission_hint(device)
        return
    os.chown(device, 0, 5)
    device.chmod(0o660)
    group = run(["getent", "group", "5"]).stdout.split(":")[0]
    assert _permission_hint(device).startswith(f"join its group, as root: usermod -aG {group} root")


def test_node_that_nothing_stands_behind(tmp_path: Path) -> None:
    device = tmp_path / "folder"
    device.mkdir()
    state = kvm_state(device, cpuinfo(tmp_path, "vmx"))
    assert not state.opens
    assert "cannot be opened" in str(state.problem)


def test_tcg_as_asked_for(device: Path, tmp_path: Path) -> None:
    chosen = choose("tcg", "x86_64", device=device, cpuinfo=cpuinfo(tmp_path, "vmx"))
    assert (chosen.kind, chosen.cpu_model, chosen.deadline_factor) == ("tcg", "max,la57=off", 10)
    assert choose("tcg", "aarch64").cpu_model == "max"


def test_unknown_accelerator() -> None:
    with pytest.raises(InputError, match="accelerator xen is not known"):
        choose("xen", "x86_64")


def test_qemu_takes_the_cpu_model() -> None:
    """The chosen accelerator and CPU model start a machine that never runs an instruction."""
    emulator = which(f"qemu-system-{host_arch()}")
    assert emulator is not None
    chosen = choose("tcg", host_arch())
    machine = "q35" if x86 else "virt"
    words = ["-machine", f"{machine},accel={chosen.kind}", "-cpu", chosen.cpu_model, "-nodefaults", "-display", "none"]
    run([emulator, *words, "-S", "-monitor", "stdio"], stdin=b"quit\n", timeout=60)

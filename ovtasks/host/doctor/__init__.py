"""``ov doctor``: whether this host can run VMs. Each check tries the thing itself and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ovtasks.host.doctor import account, machine, services
from ovtasks.host.doctor.verdict import Check, CheckState, Finding, Verdict, examine
from ovtasks.host.paths import cache_home, data_home


def checks(output: Path, *, session: Check | None = None, sources: Sequence[Check] = ()) -> tuple[Check, ...]:
    """All checks, in the order of the report.

    ``output`` is the folder that builds write to. ``session`` is the check of libvirt, ``sources`` those of what each
    source needs, which only a higher room can do. The needed checks are an image tool and QEMU with an accelerator:
    these are enough to run VMs.
    """
    return (
        Check("qemu-img", machine.qemu_img, needed=True),
        Check("qemu", machine.qemu, needed=True),
        Check("accelerator", machine.accelerator, needed=True),
        Check("kvm", machine.kvm),
        *([session] if session else []),
        Check("passt", services.passt),
        Check("bridge", account.bridge),
        Check("spice", machine.spice),
        Check("virtio-gpu", machine.virtio_gpu),
        Check("vsock", machine.vsock_device),
        Check("bios", machine.bios),
        Check("uefi-insecure", machine.uefi_insecure),
        Check("uefi-secure", machine.uefi_secure),
        Check("swtpm", services.swtpm),
        Check("virtiofsd", services.virtiofsd),
        Check("podman", services.podman),
        Check("sudo", account.sudo),
        Check("loop", account.loop),
        Check("vfat", account.vfat),
        Check("udev", account.udev),
        Check("subuid", account.subordinate),
        *sources,
        Check("ssh", account.ssh),
        Check("home", account.home),
        Check("space data", account.space(data_home())),
        Check("space cache", account.space(cache_home())),
        Check("space output", account.space(output)),
    )


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether VMs can run here; checks that are not needed may have failed."""
    return all(finding.well for finding in findings if finding.needed)


__all__ = ["Check", "Finding", "CheckState", "Verdict", "checks", "examine", "healthy"]

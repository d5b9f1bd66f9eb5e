"""What a VM's seed is to be, told without rendering it."""

from __future__ import annotations

from ovtasks.project.model import Injection, VmSpec


def hostname(vm: VmSpec) -> str:
    """The declared host name, else the VM's name."""
    return (vm.cloud_init.hostname if vm.cloud_init else None) or vm.name


def wants_seed(vm: VmSpec) -> bool:
    """Whether the VM gets a seed. A bootc image or an adopted disk has its users: only with ``cloud_init``."""
    return vm.source.kind in {"cloud_image", "bootstrap", "clone"} or vm.cloud_init is not None


def carries_keys(vm: VmSpec) -> bool:
    """Whether the seed brings the SSH keys. ``ssh.key_injection.cloud_init: auto`` means: if there is a seed."""
    if vm.ssh.cloud_init is Injection.AUTO:
        return vm.source.kind not in {"bootc", "imported"} or vm.cloud_init is not None
    return vm.ssh.cloud_init is Injection.ENABLED

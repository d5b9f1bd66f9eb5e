"""The rules of the ``libvirt:`` block, applied to the VMs of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.project.model import VmSpec

_CPUS: int = VmSpec.cpus


def libvirt_rules(vms: Sequence[DeclaredVm]) -> list[InputError]:
    """Every violation in every VM."""
    return [error for vm in vms if vm.mapping("libvirt") for error in _rules(vm)]


def _rules(vm: DeclaredVm) -> Iterator[InputError]:
    from ovtasks.machine.blocks.cpu import count_rules
    from ovtasks.machine.read import reading

    found = reading(vm.mapping("libvirt"))
    cpus = vm.get("cpus")
    faults = list(found.faults)
    if cpus is None or (isinstance(cpus, int) and cpus > 0):
        faults += count_rules(found.tree, _CPUS if cpus is None else cpus)
    for fault in faults:
        yield vm.error(fault.message, *fault.path, hint=fault.hint or None, key=fault.key)

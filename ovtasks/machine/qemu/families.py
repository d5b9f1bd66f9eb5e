"""Renders the whole ``libvirt:`` mapping, family by family, in the order that QEMU needs."""

from __future__ import annotations

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.blocks import clock, cpu, features, memory, security, sysinfo, tuning
from ovtasks.machine.devices import DEVICES, QEMU_ORDER
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.command import Command, QemuFeatures
from ovtasks.machine.qemu.snippets import arguments
from ovtasks.machine.read import block_of
from ovtasks.machine.tree import LIBVIRT_HINT, Place, Tree
from ovtasks.values.words import dotted

_CGROUPS = ("memtune", "resource", "cputune")
_HINTS = {
    **{f"libvirt.{name}": "it is done by cgroups, which libvirt keeps: backend: libvirt" for name in _CGROUPS},
    "libvirt.snippets": "they are libvirt's XML: backend: libvirt",
    "libvirt.xml_passthrough": "it is libvirt's XML: backend: libvirt",
    "libvirt.seclabel": "labels are libvirt's: backend: libvirt",
}


def command(machine: Machine, host: QemuFeatures) -> Command:
    """The parts of the command line that the mapping makes.

    :raises InputError: plain QEMU does not have a field, or this host lacks what it asks for.
    """
    root = block_of(machine).watched()
    to = Command(machine, host)
    own, unused = arguments(machine.snippets)
    to.notes += unused
    cpu.words(processor := root.block("cpu"), to)
    features.words(root.block("features"), to)
    clock.words(root.block("clock"), to)
    tuning.iothreads(root.number("iothreads"), to)
    sysinfo.words(root.block("sysinfo"), to)
    security.words(root.block("launch_security"), to)
    _devices(root.block("devices"), to)
    tuning.pinning(root.block("cputune"), to)
    memory.words(root.block("memory_backing"), root.block("numatune"), processor.items("numa"), to)
    to.words += own
    if machine.snippets:  # they hold what the two fields say
        root.get("snippets"), root.get("xml_passthrough")
    if to.orders:
        to.notes.append(f"boot order by devices: the VM's own disk is number {max(to.orders) + 1}")
    if errors := [_refused(place) for place in root.left()]:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    return to


def _devices(devices: Tree, to: Command) -> None:
    found = {device.name: device.found(devices) for device in DEVICES if device.name in devices}
    every = [(device, one) for device in DEVICES for one in found.get(device.name, ())]
    to.spice_wanted = any(device.spice(one) for device, one in every)
    to.display = to.spice_wanted or any(device.display for device, _ in every)
    for device in QEMU_ORDER:
        if device.qemu is not None:
            device.qemu(found.get(device.name, []), to)


def _refused(place: Place) -> InputError:
    path = dotted(place)
    hint = next((hint for begin, hint in _HINTS.items() if path.startswith(begin)), LIBVIRT_HINT)
    return InputError(f"{path}: the backend qemu has no such setting", hint=hint, field=place)

"""What a spec leaves open, decided: defaults that depend on the machine, and needs that follow from other fields.

What follows from something else is also said: :attr:`.Draft.notes` are the sentences for people.
"""

from __future__ import annotations

from ovtasks.errors import InputError
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.draft import Draft
from ovtasks.machine.machine import Machine
from ovtasks.machine.tree import Tree
from ovtasks.values.arch import arch_of, slow_features


def complete(machine: Machine, block: Tree) -> Draft:
    """The block as this machine needs it: every value that the table's own defaults do not give.

    :raises InputError: a field contradicts the machine; it is named.
    """
    draft = Draft(machine, block)
    features = _features(block.block("features"), draft)
    clock = block.block("clock") or Tree({"offset": "utc"})
    draft.tree = block.put(features=features, cpu=_cpu(machine, block.block("cpu")), clock=clock)
    devices = block.block("devices")
    draft.spice = _spice(devices)
    for device in DEVICES:
        devices = device.put(devices, device.complete(device.found(devices), draft))
    for device in DEVICES:
        devices = device.put(devices, device.settle(device.found(devices), draft))
    draft.root_boot = _root_boot(devices, draft)
    draft.tree = draft.tree.put(devices=devices)
    return draft


def _spice(devices: Tree) -> tuple[tuple[str | int, ...], str] | None:
    """The first device that goes through SPICE, and the word that says so."""
    return next(
        ((one.place, word) for device in DEVICES for one in device.found(devices) if (word := device.spice(one))), None
    )


def _features(wanted: Tree, draft: Draft) -> Tree:
    machine = draft.machine
    if machine.boot.smm and wanted.text("smm") == "off":
        hint = "remove libvirt.features.smm, or choose uefi-insecure"
        path = ("libvirt", "features", "smm")
        raise InputError("firmware uefi-secure needs SMM, but libvirt.features.smm turns it off", hint=hint, field=path)
    if machine.boot.smm and wanted.text("smm") is None:
        draft.notes.append("firmware uefi-secure: features.smm is on")
    smm = "on" if machine.boot.smm else None
    return wanted.over(acpi="on", apic="on" if arch_of(machine.arch).bios else "off", smm=smm)


def _cpu(machine: Machine, wanted: Tree) -> Tree:
    path = ("libvirt", "cpu", "mode")
    kvm = machine.accel == "kvm"
    mode = wanted.text("mode") or ("custom" if wanted.text("model") else "host-passthrough" if kvm else "maximum")
    if not kvm and mode in {"host-passthrough", "host-model"}:
        hint = "remove libvirt.cpu.mode, or see `ov doctor` for what KVM lacks"
        raise InputError(f"libvirt.cpu.mode {mode} needs KVM, and this VM is emulated", hint=hint, field=path)
    features = wanted.items("features")
    known = {one.text("name") for one in features}
    slow = slow_features(machine.arch, machine.accel) if mode == "maximum" else ()
    features += [Tree({"policy": "disable", "name": name}) for name in slow if name not in known]
    cache = wanted.block("cache")
    if cache.text("mode") == "emulate":
        wanted = wanted.put(cache=cache.over(level="3"))
    return wanted.put(mode=mode, features=features)


def _root_boot(devices: Tree, draft: Draft) -> int | None:
    """libvirt takes an order by devices or by kinds, not both; the VM's own disk comes after those with a place."""
    found = [one for device in DEVICES for one in device.found(devices)]
    places = [place for one in found if (place := one.number("boot")) is not None]
    if not places:
        return None
    draft.notes.append(f"boot order by devices: the VM's own disk is number {max(places) + 1}")
    return max(places) + 1

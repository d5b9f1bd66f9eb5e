"""Fills in what a spec leaves open: defaults that depend on the machine, and what other fields need.

:attr:`.Draft.notes` tells people what was added because another field needs it.
"""

from __future__ import annotations

from ovtasks.machine.blocks import cpu, features
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.draft import Draft
from ovtasks.machine.machine import Machine
from ovtasks.machine.tree import Tree


def complete(machine: Machine, block: Tree) -> Draft:
    """The block with all defaults that depend on the machine. The fixed ones stand in the table.

    :raises InputError: a field contradicts the machine; the error names it.
    """
    draft = Draft(machine, block)
    clock = block.block("clock") or Tree({"offset": "utc"})
    draft.tree = block.put(
        features=features.complete(block.block("features"), draft),
        cpu=cpu.complete(machine, block.block("cpu")),
        clock=clock,
    )
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
    """The place of the first device that goes through SPICE, and the word of the spec that says so."""
    return next(
        ((one.place, word) for device in DEVICES for one in device.found(devices) if (word := device.spice(one))), None
    )


def _root_boot(devices: Tree, draft: Draft) -> int | None:
    """The place of the VM's own disk in the boot order: after all devices that have one. None: none has.

    libvirt orders by devices or by kinds of device, never by both.
    """
    found = [one for device in DEVICES for one in device.found(devices)]
    places = [place for one in found if (place := one.number("boot")) is not None]
    if not places:
        return None
    draft.notes.append(f"boot order by devices: the VM's own disk is number {max(places) + 1}")
    return max(places) + 1

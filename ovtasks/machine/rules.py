"""The ``libvirt:`` block's rules between fields: what no declaration can state. Data in, faults out."""

from __future__ import annotations

from ovtasks.machine.blocks import clock, cpu, features, memory, security, sysinfo, tuning
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.tree import Faults, Tree


def block_rules(block: Tree) -> Faults:
    """Every violation. Invalid values are not in the tree; :mod:`.read` reports them itself."""
    for part in (cpu, features, clock, memory, security, sysinfo):
        yield from part.rules(block)
    devices = block.block("devices")
    found = [(device, device.found(devices)) for device in DEVICES]
    yield from tuning.rules(block, [one.block("driver") for _, ones in found for one in ones])
    yield from _boot_rules([one for _, ones in found for one in ones])
    for device, ones in found:
        yield from device.rules(ones, block)


def _boot_rules(found: list[Tree]) -> Faults:
    """No two devices share a place in the boot order."""
    taken: dict[str, str] = {}
    for one in found:
        place = one.text("boot")
        if place is not None and place in taken:
            yield one.fault(f": place {place} is taken by {taken[place]}", "another number", "boot")
        elif place is not None:
            taken[place] = "{}[{}]".format(*one.place[-2:])

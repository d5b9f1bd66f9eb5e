"""Disks: the VM's own, its seed, and those of the spec."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ovtasks.machine.device import Device, Site
from ovtasks.machine.devices.disk.names import ROOT_DISK, SEED_DISK, bus_of, names_on
from ovtasks.machine.devices.disk.qemu import words
from ovtasks.machine.devices.disk.rows import ROWS
from ovtasks.machine.devices.disk.rules import rules
from ovtasks.machine.draft import Draft
from ovtasks.machine.tree import Tree
from ovtasks.machine.xml.place import sub


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    """Give each disk a name, a bus and a format."""
    seeded = draft.machine.seed is not None
    names = [one.block("target").text("dev") for one in found]
    if seeded and SEED_DISK in names:
        target = found[names.index(SEED_DISK)].block("target")
        raise target.refuse("dev", f"{SEED_DISK} is the seed", hint="another name, or leave it out")
    taken = {ROOT_DISK, *([SEED_DISK] if seeded else []), *(name for name in names if name is not None)}
    done: list[Tree] = []
    for one in found:
        target = one.block("target")
        name = target.text("dev")
        bus = target.text("bus") or bus_of(name, one.text("device"))
        if name is None:
            name = next(name for name in names_on(bus) if name not in taken)
            taken.add(name)
        file = one.block("source").text("file") or ""
        driver = one.block("driver").over(type="qcow2" if file.endswith(".qcow2") else "raw")
        done.append(one.put(driver=driver, target=target.put(dev=name, bus=bus)))
        draft.buses.add(bus)
    return done


def _own(devices: ET.Element, site: Site) -> None:
    machine, boot = site.machine, site.draft.root_boot
    disk = sub(devices, "disk", {"type": "file", "device": "disk"})
    sub(disk, "driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"})
    sub(disk, "source", {"file": str(machine.disk)})
    sub(disk, "target", {"dev": ROOT_DISK, "bus": "virtio"})
    if boot is not None:
        sub(disk, "boot", {"order": str(boot)})
    if machine.seed is not None:
        # not a CD-ROM: Debian's cloud kernels lack the driver for SATA, or for USB; virtio-blk works everywhere
        seed = sub(devices, "disk", {"type": "file", "device": "disk"})
        sub(seed, "driver", {"name": "qemu", "type": "raw"})
        sub(seed, "source", {"file": str(machine.seed)})
        sub(seed, "target", {"dev": SEED_DISK, "bus": "virtio"})
        sub(seed, "readonly")


DISK = Device("disks", ROWS, rules, _complete, own=_own, first=True, qemu=words, same=("target@dev",))

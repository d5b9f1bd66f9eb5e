"""The ``<devices>`` of a domain: the VM's own, then all that the table has, in the table's order."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ovtasks.machine.complete import Completed
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.machine import Machine
from ovtasks.machine.table import DEVICES
from ovtasks.machine.tree import items, mapping
from ovtasks.machine.xml.computed import AFTER
from ovtasks.machine.xml.network import add_cards
from ovtasks.machine.xml.place import ensure, fill, make, put, sub


def add_devices(domain: ET.Element, machine: Machine, host: HostFeatures, done: Completed) -> None:
    """All devices.

    :raises InputError: the host lacks what a network card needs.
    """
    devices, wanted = sub(domain, "devices"), mapping(done.tree, "devices")
    if host.emulator and "emulator" not in wanted:
        sub(devices, "emulator", text=host.emulator)
    _own_disks(devices, machine, done.root_boot)
    for name, node in DEVICES.fields.items():
        if name == "interfaces":
            add_cards(devices, machine.nic, wanted, host)
            continue
        if name == "serial":
            _own_serial(devices, machine)
        elif name == "console":
            sub(sub(devices, "console", {"type": "pty"}), "target", {"type": "serial", "port": "0"})
        if name not in wanted:
            continue
        if isinstance(node, Items):
            for item in items(wanted, name):
                element = make(devices, node, item)
                if name in AFTER:
                    AFTER[name](element, item)
        elif isinstance(node, Block):
            fill(ensure(devices, node.at), node, mapping(wanted, name))
        elif isinstance(node, Field):
            put(devices, node, str(wanted[name]))


def _own_disks(devices: ET.Element, machine: Machine, boot: int | None) -> None:
    disk = sub(devices, "disk", {"type": "file", "device": "disk"})
    sub(disk, "driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"})
    sub(disk, "source", {"file": str(machine.disk)})
    sub(disk, "target", {"dev": "vda", "bus": "virtio"})
    if boot is not None:
        sub(disk, "boot", {"order": str(boot)})
    if machine.seed is not None:
        # no CD-ROM: Debian's cloud kernels have no driver for SATA, or none for USB; virtio-blk is everywhere
        seed = sub(devices, "disk", {"type": "file", "device": "disk"})
        sub(seed, "driver", {"name": "qemu", "type": "raw"})
        sub(seed, "source", {"file": str(machine.seed)})
        sub(seed, "target", {"dev": "vdb", "bus": "virtio"})
        sub(seed, "readonly")


def _own_serial(devices: ET.Element, machine: Machine) -> None:
    serial = sub(devices, "serial", {"type": "pty"})
    sub(serial, "log", {"file": str(machine.serial_log), "append": "on"})
    sub(serial, "target", {"port": "0"})

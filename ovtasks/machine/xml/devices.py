"""The ``<devices>`` of a domain, kind by kind in the order of their list: the VM's own, then those of the spec."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ovtasks.machine.device import Device, Site
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.field import Items
from ovtasks.machine.xml.place import ensure, fill, make, sub


def add_devices(domain: ET.Element, site: Site) -> None:
    """Add all devices.

    :raises InputError: the host lacks what a network card needs.
    """
    devices, wanted = sub(domain, "devices"), site.draft.tree.block("devices")
    emulator = wanted.text("emulator")
    if site.features.emulator and emulator is None:
        sub(devices, "emulator", text=site.features.emulator)
    for device in DEVICES:
        if device.own is not None and device.first:
            device.own(devices, site)
    if emulator is not None:
        sub(devices, "emulator", text=emulator)
    for device in DEVICES:
        if device.own is not None and not device.first:
            device.own(devices, site)
        found = device.found(wanted)
        if device.xml is not None:
            device.xml(devices, found, site)
            continue
        for one in found:
            element = _element(devices, device)
            fill(element, device.rows.block if isinstance(device.rows, Items) else device.rows, one)
            if device.finish is not None:
                device.finish(element, one)


def _element(devices: ET.Element, device: Device) -> ET.Element:
    if isinstance(device.rows, Items):
        return make(devices, device.rows)
    return ensure(devices, device.rows.at)

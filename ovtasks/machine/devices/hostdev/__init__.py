"""Host devices passed through to the VM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from ovtasks.machine.device import Device
from ovtasks.machine.devices.hostdev.rows import ROWS
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import ensure, sub

_NEEDED: Mapping[str, list[tuple[str, ...]]] = {
    "pci": [("bus", "slot")],
    "usb": [("vendor", "product"), ("bus", "device")],
    "mdev": [("uuid",)],
}
_SCSI_ADDRESS = ("adapter", "bus", "target", "unit")


def _rules(found: Sequence[Tree], block: Tree) -> Faults:
    """Each device is named completely."""
    for one in found:
        source, kind = one.block("source"), one.text("type") or ""
        needed = _NEEDED.get(kind, [])
        if kind == "scsi":
            iscsi = source.has("protocol")
            needed = [("name", "hosts")] if iscsi else [_SCSI_ADDRESS]
            for key in _SCSI_ADDRESS if iscsi else ():
                if source.has(key):
                    yield source.fault("contradicts protocol", "remove one of the two", key)
        if needed and not any(all(source.has(key) for key in keys) for keys in needed):
            words = " or ".join(", ".join(keys) for keys in needed)
            yield one.fault(f"needs {words}: type {kind}", "source: {…}", "source")
        if one.switch("display") and not block.block("devices").items("graphics"):
            yield one.fault("is on, but there are no graphics", "add graphics, or remove it", "display")
        if source.number("device") == 0:
            yield source.fault("is 0: devices are counted from 1", "see lsusb", "device")
        if kind == "usb" and source.has("bus") and not source.has("device"):
            yield source.fault("is missing: bus needs it", "device: …", "device")


def _finish(element: ET.Element, wanted: Tree) -> None:
    """Add the address. libvirt wants hexadecimal numbers for PCI, decimal ones for USB and SCSI."""
    given, kind = wanted.block("source"), wanted.text("type")
    source = ensure(element, "source")
    if kind == "pci":
        defaults = {"domain": "0x0000", "function": "0x0"}
        sub(source, "address", {key: given.text(key) or defaults.get(key) for key in _PCI})
    elif kind == "usb":
        for key in ("vendor", "product"):
            if text := given.text(key):
                sub(source, key, {"id": f"0x{int(text, 16):04x}"})
        if "device" in given:
            sub(source, "address", {key: _decimal(given, key) for key in ("bus", "device")})
    elif kind == "scsi" and "adapter" in given:
        places = {"bus": _decimal(given, "bus"), "target": given.text("target"), "unit": given.text("unit")}
        sub(source, "address", places)
    elif kind == "mdev":
        element.set("model", given.text("model") or "vfio-pci")


def _plain(element: ET.Element) -> None:
    """The reverse of :func:`_finish`: numbers as the rows have them, a mediated device's model beside its source."""
    source = element.find("source")
    if source is None:
        return
    if element.get("type") == "mdev" and (model := element.get("model")):
        source.set("model", model)
    place = source.find("address")
    if place is not None and element.get("type") in {"usb", "scsi"}:
        for key in ("bus", "device"):
            if (number := place.get(key, "")).isdecimal():
                place.set(key, f"0x{int(number):02x}")


_PCI = ("domain", "bus", "slot", "function")


def _decimal(given: Tree, key: str) -> str:
    return str(int(given.text(key) or "0", 16))


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """:raises InputError: QEMU alone cannot pass the device on."""
    for index, block in enumerate(blocks):
        kind, source, ident = block.text("type") or "", block.block("source"), f"hostdev{index}"
        block.text("mode")
        order = to.order(block.number("boot"))
        if kind == "pci":
            if block.text("managed") == "yes":
                hint = "managed: no, with the device bound to vfio-pci (driverctl); or backend: libvirt"
                raise block.refuse("managed", "QEMU does not take devices from their drivers", hint=hint)
            driver = block.block("driver")
            driver.text("name")
            parts = [_part(source, key) for key in ("domain", "bus", "slot", "function")]
            host = f"{parts[0]:04x}:{parts[1]:02x}:{parts[2]:02x}.{parts[3]:x}"
            to.device("vfio-pci", id=ident, host=host, **_rom(block), bootindex=order)
        elif kind == "mdev":
            _mdev(block, source, ident, to, order)
        elif kind == "usb":
            _usb(source, ident, to, order)
        else:
            raise block.refuse("type", f"the backend qemu passes no {kind} device on")


def _part(source: Tree, key: str) -> int:
    found = source.number(key)
    if found is None and key in {"domain", "function"}:
        return 0
    if found is None:
        raise source.missing(key, "lspci -D shows DOMAIN:BUS:SLOT.FUNCTION")
    return found


def _rom(block: Tree) -> dict[str, object]:
    rom = block.block("rom")
    bar = {"on": "1", "off": "0"}.get(rom.text("bar") or "")
    file = rom.text("file")
    return {"rombar": "0" if rom.text("enabled") == "no" else bar, "romfile": file}


def _mdev(block: Tree, source: Tree, ident: str, to: Command, order: int | None) -> None:
    if block.text("managed") == "yes":
        raise block.refuse("managed", "QEMU makes no mediated devices", hint="managed: no, or backend: libvirt")
    if (model := source.text("model") or "vfio-pci") != "vfio-pci":
        raise source.refuse("model", f"{model} is of s390")
    path = f"/sys/bus/mdev/devices/{source.text('uuid')}"
    ramfb = {"on": "on"}.get(block.text("ramfb") or "")
    name = "vfio-pci-nohotplug" if ramfb else "vfio-pci"
    more = {"display": block.text("display"), "ramfb": ramfb}
    to.device(name, id=ident, sysfsdev=path, **more, **_rom(block), bootindex=order)


def _usb(source: Tree, ident: str, to: Command, order: int | None) -> None:
    vendor, product = source.text("vendor"), source.text("product")
    bus, device = source.number("bus"), source.number("device")
    if vendor is None and bus is None:
        raise source.missing("vendor", "vendor and product, as lsusb shows them")
    ids = {"vendorid": _hex(vendor), "productid": _hex(product), "hostbus": bus, "hostaddr": device}
    reset = source.text("guest_reset")
    resets = {
        "guest-reset": {"off": "off", "uninitialized": "on", "on": "on"}.get(reset or ""),
        "guest-resets-all": {"uninitialized": "off", "on": "on"}.get(reset or ""),
    }
    to.device("usb-host", id=ident, **ids, bus=to.usb_bus(), **resets, bootindex=order)


def _hex(text: str | None) -> str | None:
    return None if text is None else "0x" + text.lower().removeprefix("0x")


HOSTDEV = Device("hostdevs", ROWS, _rules, finish=_finish, plain=_plain, qemu=_words)

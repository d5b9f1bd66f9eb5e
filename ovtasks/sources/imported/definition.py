"""A libvirt domain → what ``vms.yml`` says about it. Nothing is asked here: text in, values out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.devices.disk.names import BUSES, ROOT_DISK
from ovtasks.machine.machine import Machine, Nic
from ovtasks.machine.xml.reader import read_domain
from ovtasks.values.sizes import format_size

_UNITS = {"b": 1, "bytes": 1, "KiB": 1 << 10, "k": 1 << 10, "MiB": 1 << 20, "M": 1 << 20, "GiB": 1 << 30, "G": 1 << 30}
_OS_KNOWN = frozenset({"type", "loader", "nvram", "firmware", "boot", "smbios"})
_OWN_CONTROLLERS = frozenset({"pci", "ide", "sata", "fdc", "virtio-serial", "usb", "ccid", "isa"})
_MODES = {"user": None, "network": "network", "bridge": "bridge", "direct": "dev"}
"""libvirt's type of a card → the key of ``network:`` that says to what it is connected."""
_PLACES = frozenset({"address", "alias"})
_OF_CARD = frozenset({"mac", "source", "model", "target", *_PLACES})
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})
_OF_OWN_DISK = frozenset({"driver", "target", "serial", "wwn", "vendor", "product", "blockio", "iotune", "geometry"})
_KEEPS = ("readonly", "shareable", "transient", "auth", "reservations", "encryption")
"""What a disk may be that an overlay on it is not."""


@dataclass(frozen=True)
class DomainDisk:
    """The disk that the domain boots from. ``format`` is what libvirt takes it for."""

    path: Path
    format: str


@dataclass
class Adoption:
    """``arch`` is libvirt's name. ``entry`` are the VM's values without its source. ``notes`` tell what is not as it
    was. ``nvram`` is the file of its firmware's variables."""

    disk: DomainDisk
    arch: str
    nvram: Path | None = None
    entry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def adoption_of(text: str, name: str) -> Adoption:
    """What the domain with the XML ``text`` is as the VM ``name``.

    :raises InputError: it has no disk in a file, or is not a virtual machine of QEMU's.
    """
    domain = ET.fromstring(text)
    if domain.get("type") not in {"kvm", "qemu"} or domain.findtext("os/type") != "hvm":
        hint = "only virtual machines of QEMU and KVM can be imported"
        raise InputError(f"the domain is of type {domain.get('type')}, {domain.findtext('os/type')}", hint=hint)
    devices = domain.find("devices")
    devices = ET.SubElement(domain, "devices") if devices is None else devices
    type = domain.find("os/type")
    disk = _take_disk(devices)
    found = Adoption(_of(disk), (type.get("arch") if type is not None else None) or "x86_64")
    _sizes(domain, found)
    _firmware(domain, found)
    found.entry["backend"] = "libvirt"
    _other_disks(devices, found)
    if (own := _as_own(disk, found)) is not None:
        devices.append(own)
    _network(devices, found)
    _without_ours(devices)
    listens = {one.get("address", "") for one in devices.iterfind("graphics/listen[@address]")} - _HERE
    if listens:
        found.notes.append(f"others can reach its display, as before: it listens on {', '.join(sorted(listens))}")
    if devices.find("tpm") is not None:
        found.notes.append(
            "not taken: what its TPM holds; the VM has a new one, so a guest may ask for its recovery key"
        )
    _block(domain, name, found)
    return found


def _take_disk(devices: ET.Element) -> ET.Element:
    """Remove the disk that the domain boots from."""
    disks = [one for one in devices.findall("disk") if one.get("device", "disk") == "disk"]
    if not disks:
        hint = "ov adopts a domain's disk, and this domain boots from elsewhere: virsh attach-disk gives it one"
        raise InputError("the domain has no disk", hint=hint)
    first = min(disks, key=_order)
    devices.remove(first)
    return first


def _of(disk: ET.Element) -> DomainDisk:
    """:raises InputError: it is in no file, or nobody can read it without a secret."""
    source, driver = disk.find("source"), disk.find("driver")
    path = None if source is None else source.get("file") or source.get("dev")
    if path is None:
        hint = "move its disk into a file (virsh vol-download, or qemu-img convert), and name it there: virsh edit"
        raise InputError(f"the domain's disk is of type {disk.get('type')}, not in a file", hint=hint)
    if disk.find(".//encryption") is not None:
        hint = "qemu-img convert writes it into a file without encryption; name that one: virsh edit"
        raise InputError(f"the domain's disk {path} is encrypted", hint=hint)
    return DomainDisk(Path(path), "raw" if driver is None else driver.get("type", "raw"))


def _as_own(disk: ET.Element, found: Adoption) -> ET.Element | None:
    """What the disk says that the VM's own does not say by itself: its bus, its serial number, its cache.

    None: nothing. A guest may have no driver for another bus, and may look for its file systems by serial number."""
    own = ET.Element("disk", {"type": "file", "device": "disk"})
    own.extend(copy.deepcopy(one) for one in disk if one.tag in _OF_OWN_DISK)
    target, driver = own.find("target"), own.find("driver")
    target = ET.SubElement(own, "target") if target is None else target
    bus = target.get("bus") or BUSES.get((target.get("dev") or ROOT_DISK)[:2], "virtio")
    target.attrib.update({"dev": ROOT_DISK, "bus": bus})
    if driver is not None:
        for key in ("name", "type", "iothread"):
            driver.attrib.pop(key, None)
        if not driver.attrib and not len(driver):
            own.remove(driver)
    left = [f"<{one.tag}>" for one in disk if one.tag in _KEEPS]
    if left:
        found.notes.append(f"not taken: {', '.join(left)} of the disk")
    return None if bus == "virtio" and len(own) == 1 and len(target.attrib) == 2 else own


def _order(disk: ET.Element) -> int:
    boot = disk.find("boot")
    return int(boot.get("order", "0")) if boot is not None else 1 << 16


def _sizes(domain: ET.Element, found: Adoption) -> None:
    memory, now = _bytes(domain.find("memory")), _bytes(domain.find("currentMemory"))
    if memory:
        found.entry["ram"] = format_size(memory)
    if now not in {0, memory}:
        found.notes.append(f"not taken: <currentMemory> of {format_size(now)}; the VM has all of its memory at once")
    if domain.find("maxMemory") is not None:
        found.notes.append("not taken: <maxMemory>; libvirt.devices.memory gives the VM more")
    cpus = domain.find("vcpu")
    found.entry["cpus"] = int((cpus.text if cpus is not None else None) or "1")
    more = [] if cpus is None else [key for key, _ in cpus.items() if key != "placement"]
    if more:
        found.notes.append(f"not taken: {', '.join(more)} of <vcpu>")


def _bytes(element: ET.Element | None) -> int:
    """A size with a unit; 0: there is none."""
    if element is None:
        return 0
    return int(element.text or "0") * _UNITS.get(element.get("unit", "KiB"), 1 << 10)


def _firmware(domain: ET.Element, found: Adoption) -> None:
    os = domain.find("os")
    if os is None:
        return
    kind, loader = os.find("type"), os.find("loader")
    if kind is not None and kind.get("machine"):
        found.entry["machine"] = kind.get("machine")
    if os.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash"):
        secure = loader is not None and loader.get("secure") == "yes"
        feature = os.find("firmware/feature[@name='secure-boot']")
        secure = secure or (feature is not None and feature.get("enabled") == "yes")
        found.entry["firmware"] = "uefi-secure" if secure else "uefi-insecure"
        nvram, source = os.findtext("nvram"), os.find("nvram/source")
        path = source.get("file") if source is not None else (nvram or "").strip()
        found.nvram = Path(path) if path else None
    left = [f"<{one.tag}>" for one in os if one.tag not in _OS_KNOWN]
    if left:
        found.notes.append(f"not taken: {', '.join(left)} of <os>")


def _other_disks(devices: ET.Element, found: Adoption) -> None:
    """Leave them out: two machines that write to one disk destroy it."""
    for disk in devices.findall("disk"):
        source = disk.find("source")
        target = disk.find("target")
        if source is not None and source.attrib:
            name = "" if target is None else f"{target.get('dev')}, "
            place = next(iter(source.attrib.values()))
            found.notes.append(f"not taken: {disk.get('device', 'disk')} {name}{place}; libvirt.devices.disks adds it")
        devices.remove(disk)


def _network(devices: ET.Element, found: Adoption) -> None:
    """The first card is ``network:``. Cards get addresses of their own, since the domain still has its."""
    cards = devices.findall("interface")
    for card in cards:
        for mac in card.findall("mac"):
            card.remove(mac)
    if not cards:
        found.notes.append("the domain has no network card; the VM has one (mode user)")
        return
    card, mode = cards[0], cards[0].get("type", "")
    source, model = card.find("source"), card.find("model")
    key = _MODES.get(mode, "")
    place = None if source is None or not key else source.get(key)
    if mode not in _MODES or (key and not place):
        found.notes.append(f"not taken: the first network card, of type {mode}; the VM has one of mode user")
    else:
        wanted: dict[str, Any] = {} if key is None else {"mode": mode, key: place}
        if model is not None and model.get("type", "virtio") != "virtio":
            wanted["model"] = model.get("type")
        if wanted:
            found.entry["network"] = wanted
    left = [f"<{one.tag}>" for one in card if one.tag not in _OF_CARD]
    if left:
        found.notes.append(f"not taken: {', '.join(left)} of the first network card")
    devices.remove(card)
    found.notes.append("its network cards have new MAC addresses")


def _without_ours(devices: ET.Element) -> None:
    """Remove what every VM of ours has anyway, and what libvirt chooses by itself."""
    for one in [*devices]:
        for place in [child for child in one if child.tag in _PLACES]:
            one.remove(place)
        one.attrib.pop("index", None)
        if _is_ours(one):
            devices.remove(one)
        elif one.tag == "graphics":
            one.attrib.pop("listen", None)  # the element says it, too
            if one.get("port") == "-1":
                del one.attrib["port"]


def _is_ours(one: ET.Element) -> bool:
    target = one.find("target")
    if one.tag in {"emulator", "console"}:
        return True
    if one.tag == "serial":
        return target is None or target.get("port", "0") == "0"
    if one.tag == "channel":
        return target is not None and target.get("name") == "org.qemu.guest_agent.0"
    if one.tag == "controller":
        return one.get("type") in _OWN_CONTROLLERS
    return one.tag == "input" and one.get("bus") == "ps2"


def _block(domain: ET.Element, name: str, found: Adoption) -> None:
    here = Path("/var/lib/ov")  # stands for places that are not known yet, and that no domain has
    machine = Machine(
        domain=f"ov-{name}",
        uuid="00000000-0000-4000-8000-000000000000",
        vm=name,
        project=here,
        disk=here / "disk.qcow2",
        serial_log=here / "serial.log",
        sockets=here / "sockets",
        nic=Nic(mac="52:54:00:00:00:01"),
        arch=found.arch,
        machine=found.entry.get("machine", "q35"),
        accel="kvm" if domain.get("type") == "kvm" else "tcg",
        cpus=found.entry["cpus"],
    )
    read = read_domain(domain, machine)
    if read.libvirt:
        found.entry["libvirt"] = read.libvirt
    found.notes += [f"taken as XML, into libvirt.snippets: {one}" for one in read.as_xml]
    found.notes += [f"not taken: {one}" for one in read.left_out]

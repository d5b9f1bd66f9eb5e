"""A libvirt domain → what ``vms.yml`` says about it. Nothing is asked here: text in, values out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.machine import Machine, Nic
from ovtasks.machine.xml.reader import read_domain
from ovtasks.values.sizes import format_size

_UNITS = {"b": 1, "bytes": 1, "KiB": 1 << 10, "k": 1 << 10, "MiB": 1 << 20, "M": 1 << 20, "GiB": 1 << 30, "G": 1 << 30}
_OS_KNOWN = frozenset({"type", "loader", "nvram", "firmware", "boot", "smbios"})
_OWN_CONTROLLERS = frozenset({"pci", "ide", "sata", "fdc", "virtio-serial", "usb", "ccid", "isa"})
_MODES = {"user": None, "network": "network", "bridge": "bridge", "direct": "dev"}
"""libvirt's type of a card → the key of ``network:`` that says to what it is connected."""
_PLACES = frozenset({"address", "alias"})


@dataclass(frozen=True)
class DomainDisk:
    """The disk that the domain boots from. ``format`` is what libvirt takes it for."""

    path: Path
    format: str


@dataclass
class Adoption:
    """``arch`` is libvirt's name. ``entry`` are the VM's values without its source. ``notes`` tell what is not as it
    was."""

    disk: DomainDisk
    arch: str
    entry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def adoption_of(text: str, name: str) -> Adoption:
    """What the domain with the XML ``text`` is as the VM ``name``.

    :raises InputError: it has no disk in a file, or is no virtual machine of QEMU's.
    """
    domain = ET.fromstring(text)
    if domain.get("type") not in {"kvm", "qemu"} or domain.findtext("os/type") != "hvm":
        hint = "only virtual machines of QEMU and KVM can be imported"
        raise InputError(f"the domain is of type {domain.get('type')}, {domain.findtext('os/type')}", hint=hint)
    devices = domain.find("devices")
    devices = ET.SubElement(domain, "devices") if devices is None else devices
    type = domain.find("os/type")
    found = Adoption(_take_disk(devices), (type.get("arch") if type is not None else None) or "x86_64")
    _sizes(domain, found)
    _firmware(domain, found)
    found.entry["backend"] = "libvirt"
    _other_disks(devices, found)
    _network(devices, found)
    _without_ours(devices)
    _block(domain, name, found)
    return found


def _take_disk(devices: ET.Element) -> DomainDisk:
    disks = [one for one in devices.findall("disk") if one.get("device", "disk") == "disk"]
    if not disks:
        raise InputError("the domain has no disk", hint="ov adopts a domain's disk; this one boots from elsewhere")
    disks.sort(key=_order)
    first, source = disks[0], disks[0].find("source")
    path = None if source is None else source.get("file") or source.get("dev")
    if path is None:
        hint = "move its disk into a file: virsh vol-download, or qemu-img convert, then virsh edit"
        raise InputError(f"the domain's disk is of type {first.get('type')}, not in a file", hint=hint)
    driver = first.find("driver")
    devices.remove(first)
    return DomainDisk(Path(path), "raw" if driver is None else driver.get("type", "raw"))


def _order(disk: ET.Element) -> int:
    boot = disk.find("boot")
    return int(boot.get("order", "0")) if boot is not None else 1 << 16


def _sizes(domain: ET.Element, found: Adoption) -> None:
    memory = domain.find("memory")
    if memory is not None:
        size = int(memory.text or "0") * _UNITS.get(memory.get("unit", "KiB"), 1 << 10)
        found.entry["ram"] = format_size(size)
    cpus = domain.find("vcpu")
    found.entry["cpus"] = int((cpus.text if cpus is not None else None) or "1")
    more = [] if cpus is None else [key for key, _ in cpus.items() if key != "placement"]
    if more:
        found.notes.append(f"not taken: {', '.join(more)} of <vcpu>")


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
        found.notes.append("the firmware's variables (NVRAM) are not taken: the VM boots as from a new disk")
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

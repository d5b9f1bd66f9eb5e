"""The few fields whose place in the XML depends on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET

from ovtasks.machine.read import Read
from ovtasks.machine.tree import mapping, value
from ovtasks.machine.xml.place import ensure, sub

SEV_ES = 0x4
POLICIES = {"sev": "0x3", "sev-es": "0x7", "sev-snp": "0x30000"}


def rng(element: ET.Element, wanted: Read) -> None:
    """A device of the host, or a kind of source."""
    backend = ensure(element, "backend")
    text = value(wanted, "backend") or "/dev/urandom"
    if text.startswith("/"):
        backend.set("model", "random")
        backend.text = text
    else:
        backend.set("model", text)
        if kind := value(wanted, "type"):
            backend.set("type", kind)


def tpm(element: ET.Element, wanted: Read) -> None:
    """The version of the emulated one."""
    if version := value(mapping(wanted, "backend"), "version"):
        ensure(element, "backend").set("version", version)


def filesystem(element: ET.Element, wanted: Read) -> None:
    """libvirt has no word for 9p: it is what there is without a driver."""
    if (driver := value(wanted, "driver")) in {"virtiofs", "path"}:
        ensure(element, "driver").set("type", str(driver))
    sub(element, "source", {"dir": value(wanted, "source")})


def hostdev(element: ET.Element, wanted: Read) -> None:
    """The address by the kind of device. libvirt wants hexadecimal numbers for PCI, decimal ones for USB and SCSI."""
    given, kind = mapping(wanted, "source"), value(wanted, "type")
    source = ensure(element, "source")
    if kind == "pci":
        defaults = {"domain": "0x0000", "function": "0x0"}
        sub(source, "address", {key: value(given, key) or defaults.get(key) for key in _PCI})
    elif kind == "usb":
        for key in ("vendor", "product"):
            if text := value(given, key):
                sub(source, key, {"id": f"0x{int(text, 16):04x}"})
        if "device" in given:
            sub(source, "address", {key: _decimal(given, key) for key in ("bus", "device")})
    elif kind == "scsi" and "adapter" in given:
        places = {"bus": _decimal(given, "bus"), "target": value(given, "target"), "unit": value(given, "unit")}
        sub(source, "address", places)
    elif kind == "mdev":
        element.set("model", value(given, "model") or "vfio-pci")


_PCI = ("domain", "bus", "slot", "function")


def _decimal(given: Read, key: str) -> str:
    return str(int(value(given, key) or "0", 16))


def launch_security(element: ET.Element, wanted: Read) -> None:
    """SEV-ES is SEV with a bit of its policy."""
    kind = value(wanted, "type") or ""
    policy = value(wanted, "policy") or POLICIES.get(kind)
    element.set("type", "sev" if kind == "sev-es" else kind)
    if policy is not None:
        bits = int(policy, 16) if policy.lower().startswith("0x") else int(policy)
        sub(element, "policy", text=f"0x{bits | (SEV_ES if kind == 'sev-es' else 0):04x}")


def cpu(element: ET.Element, wanted: Read) -> None:
    """A model is meant exactly."""
    if value(wanted, "mode") == "custom":
        element.set("match", "exact")


AFTER: Mapping[str, Callable[[ET.Element, Read], None]] = {
    "rng": rng,
    "tpm": tpm,
    "filesystems": filesystem,
    "hostdevs": hostdev,
}
"""By the name of the list in ``libvirt.devices``: what is done after the declarations have been followed."""

"""Saves a paused VM's memory to a file and starts it from there, in libvirt's own format of saved domains."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.definition import QEMU, find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.probing import running
from ovtasks.backends.libvirt.session import connection, load
from ovtasks.errors import OvError

_FORWARDS = (f"{{{QEMU}}}commandline", "devices/interface/portForward")


def pause(handle: Handle) -> None:
    """Stop the guest's processors."""
    with diagnosed(f"pause {handle.domain}", handle.domain):
        running(connection(handle.uri), handle).suspend()


def resume(handle: Handle) -> None:
    """Let them go on. libvirt refuses it while it saves the memory."""
    libvirt = load()
    with diagnosed(f"let {handle.domain} go on", handle.domain):
        domain = running(connection(handle.uri), handle)
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            domain.resume()


def save(handle: Handle, file: Path) -> None:
    """Write the memory of the paused VM to ``file``.

    :raises OvError: a device of the VM cannot be saved, or the disk is full.
    """
    libvirt = load()
    with diagnosed(f"save the memory of {handle.domain}", handle.domain):
        domain = running(connection(handle.uri), handle)
        snapshot = ET.Element("domainsnapshot")
        ET.SubElement(snapshot, "memory", snapshot="external", file=str(file))
        disks = ET.SubElement(snapshot, "disks")
        for target in ET.fromstring(domain.XMLDesc()).iterfind("devices/disk/target"):
            ET.SubElement(disks, "disk", name=target.get("dev", ""), snapshot="no")
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        domain.snapshotCreateXML(ET.tostring(snapshot, encoding="unicode"), flags)


def start(handle: Handle, disk: Path, file: Path) -> None:
    """Start the domain, which is defined and off, with the memory in ``file`` and its own ``disk``.

    :raises OvError: the memory is not that of such a machine.
    """
    libvirt = load()
    with diagnosed(f"start {handle.domain} from its memory", handle.domain):
        daemon = connection(handle.uri)
        domain = find(daemon, handle)
        if domain is None:
            raise OvError(f"{handle.domain} is not defined in libvirt", hint="ov vm create defines it")
        secure = libvirt.VIR_DOMAIN_XML_SECURE
        defined = domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE)
        saved = daemon.saveImageGetXMLDesc(str(file), libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        daemon.restoreFlags(str(file), _today(saved, defined, disk), libvirt.VIR_DOMAIN_SAVE_RUNNING)


def _today(saved: str, defined: str, disk: Path) -> str:
    """The saved domain, with the disk and the port forwards that it has now. libvirt finds the files below the disk."""
    ET.register_namespace("qemu", QEMU)
    domain, now = ET.fromstring(saved), ET.fromstring(defined)
    for one in domain.iterfind("devices/disk"):
        source, below = one.find("source"), one.find("backingStore")
        if below is not None:
            one.remove(below)
        file = Path(source.get("file", "")) if source is not None else Path()
        if source is not None and (file.parent, file.suffix) == (disk.parent, disk.suffix):
            source.set("file", str(disk))
    for path in _FORWARDS:
        for old, new in zip(domain.findall(path), now.findall(path), strict=False):
            old[:] = list(new)
            old.attrib.clear()
            old.attrib.update(new.attrib)
    return ET.tostring(domain, encoding="unicode")

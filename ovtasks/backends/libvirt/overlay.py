"""Lets a running VM write to another overlay, by an external snapshot that libvirt keeps no record of."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, load
from ovtasks.errors import OvError


def write_to(handle: Handle, disk: Path) -> None:
    """Let the running VM write its disk to ``disk``; see :class:`ovtasks.backends.contract.Overlays`.

    :raises OvError: libvirt refuses it, or knows no such disk.
    """
    libvirt = load()
    flags = (
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    )
    with diagnosed(f"keep the disk of {handle.domain}", handle.domain):
        known = connection(handle.uri)
        domain = find(known, handle)
        if domain is None:
            raise OvError(f"{handle.domain} is not defined in libvirt", hint="ov vm create defines it")
        kept = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        definition = domain.XMLDesc(kept)
        domain.snapshotCreateXML(_snapshot(domain.XMLDesc(), handle.directory, disk), flags)
        if domain.XMLDesc(kept) != definition:  # libvirt writes down the name of the overlay
            known.defineXML(definition)


def _snapshot(domain: str, directory: Path, disk: Path) -> str:
    """libvirt's XML of a snapshot of the VM's own disk alone (libvirt's "Snapshot XML format")."""
    snapshot = ElementTree.Element("domainsnapshot")
    disks = ElementTree.SubElement(snapshot, "disks")
    for one in ElementTree.fromstring(domain).iterfind("devices/disk"):
        source, target = one.find("source"), one.find("target")
        if target is None:
            continue
        file = source.get("file") if source is not None else None
        ours = file is not None and Path(file).parent == directory and Path(file).suffix == disk.suffix
        kind = "external" if ours else "no"
        entry = ElementTree.SubElement(disks, "disk", name=target.get("dev", ""), snapshot=kind)
        if ours:
            ElementTree.SubElement(entry, "driver", type="qcow2")
            ElementTree.SubElement(entry, "source", file=str(disk))
    return ElementTree.tostring(snapshot, encoding="unicode")

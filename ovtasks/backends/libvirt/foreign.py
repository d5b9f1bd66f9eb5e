"""A domain of libvirt's that is not ours: looked at, never changed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_local, load, uri_of
from ovtasks.errors import InputError
from ovtasks.values.words import near

if TYPE_CHECKING:
    import libvirt


@dataclass(frozen=True)
class ForeignDomain:
    """``xml`` is the definition, as it will be at the next start; volumes of pools stand there as files. ``active``: it
    runs, or is paused. ``saved``: its memory is saved, and the next start goes on from there. ``snapshots`` is their
    number."""

    name: str
    xml: str
    active: bool = False
    saved: bool = False
    snapshots: int = 0


def look_at(name: str, uri: str | None = None) -> ForeignDomain:
    """The domain called ``name``.

    :raises InputError: there is none, or it is on another host. :raises OvError: libvirt does not answer.
    """
    if not is_local(uri_of(uri)):
        hint = "import it there, or copy its disk to here and define it here (virsh dumpxml, virsh define)"
        raise InputError(f"{uri_of(uri)} is another host, whose disks are not here", hint=hint)
    daemon = connection(uri)
    with diagnosed("look at", name):
        names = sorted(one.name() for one in daemon.listAllDomains())
        if name not in names:
            guess = near(name, names)
            known = f"there are {', '.join(names)}" if names else "it has no domains"
            hint = f"did you mean '{guess}'?" if guess else f"{known}; OV_LIBVIRT_URI names another connection"
            raise InputError(f"libvirt ({uri_of(uri)}) has no domain '{name}'", hint=hint)
        domain = daemon.lookupByName(name)
        xml = _with_files(domain.XMLDesc(load().VIR_DOMAIN_XML_INACTIVE), daemon)
        active, saved = bool(domain.isActive()), bool(domain.hasManagedSaveImage())
        return ForeignDomain(name, xml, active, saved, domain.snapshotNum())


def _with_files(xml: str, daemon: libvirt.virConnect) -> str:
    """The definition with the path of each disk that is a volume of a pool. Another pool's volumes stay as they are."""
    root = ET.fromstring(xml)
    for source in root.iterfind("devices/disk[@type='volume']/source"):
        pool, volume = source.get("pool"), source.get("volume")
        with contextlib.suppress(load().libvirtError):  # the pool is gone, or off: it stays a volume
            if pool and volume:
                source.set("file", daemon.storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
    return ET.tostring(root, encoding="unicode")

"""Finds and removes our domains whose folder is gone, for ``ov gc``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, load, sockets, uri_of
from ovtasks.errors import OvError
from ovtasks.host.paths import DOMAIN_PREFIX, data_home
from ovtasks.images.gc import Item

if TYPE_CHECKING:
    import libvirt

WHAT = "libvirt's definition of a VM whose folder is gone"


def survey() -> list[Item]:
    """Look in the user's own session, if its daemon runs; none is started for this. A running VM is listed as held."""
    try:
        if all(one.problem is not None for one in sockets()):
            return []
        return [_item(domain) for domain in _lost()]
    except OvError:  # not permitted, or no Python module: then libvirt has no domain of ours
        return []


def remove(items: list[Item]) -> list[Item]:
    """Undefine those whose folder is still missing and that do not run. Returns what was removed.

    :raises OvError: libvirt cannot undefine one.
    """
    chosen = {item.path: item for item in items}
    gone = []
    for domain in _lost() if chosen else ():
        item = chosen.get(_folder(domain))
        if item is not None and not domain.isActive():
            with diagnosed(f"undefine {domain.name()}", domain.name()):
                domain.undefineFlags(_flags())
            gone.append(item)
    return gone


def _lost() -> list[libvirt.virDomain]:
    place = data_home() / "vm"
    with diagnosed("list libvirt's domains", uri_of()):
        return [
            domain
            for domain in connection().listAllDomains()
            if domain.name().startswith(DOMAIN_PREFIX)
            and _folder(domain) == place / domain.name()
            and not (place / domain.name()).exists()
        ]


def _folder(domain: libvirt.virDomain) -> Path:
    """The folder of its first disk, even if it is gone."""
    files = (source.get("file") for source in ET.fromstring(domain.XMLDesc(0)).iterfind("devices/disk/source"))
    return next((Path(file).parent for file in files if file), Path())


def _item(domain: libvirt.virDomain) -> Item:
    held = (f"it runs: virsh destroy {domain.name()}",) if domain.isActive() else ()
    return Item(_folder(domain), 0, WHAT, held)


def _flags() -> int:
    libvirt = load()
    return int(
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )

"""A domain of libvirt's that is not ours: looked at, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, load, uri_of
from ovtasks.errors import InputError
from ovtasks.values.words import near


@dataclass(frozen=True)
class ForeignDomain:
    """``xml`` is the definition, as it will be at the next start. ``active``: it runs, or is paused. ``saved``: its
    memory is saved, and the next start goes on from there."""

    name: str
    xml: str
    active: bool
    saved: bool


def look_at(name: str, uri: str | None = None) -> ForeignDomain:
    """The domain called ``name``.

    :raises InputError: there is none. :raises OvError: libvirt does not answer.
    """
    libvirt, daemon = load(), connection(uri)
    with diagnosed("look at", name):
        names = sorted(one.name() for one in daemon.listAllDomains())
        if name not in names:
            guess = near(name, names)
            known = f"there are {', '.join(names)}" if names else "it has no domains"
            hint = f"did you mean '{guess}'?" if guess else f"{known}; OV_LIBVIRT_URI names another connection"
            raise InputError(f"libvirt ({uri_of(uri)}) has no domain '{name}'", hint=hint)
        domain = daemon.lookupByName(name)
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        return ForeignDomain(name, xml, bool(domain.isActive()), bool(domain.hasManagedSaveImage()))

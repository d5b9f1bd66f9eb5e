"""Checks, before a VM is defined, what its network cards need from libvirt and this host.

A user's session has no networks of its own and may not create network devices. It joins bridges through
qemu-bridge-helper, and cannot use a card of the host directly.
"""

from __future__ import annotations

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_local, load, uri_of
from ovtasks.errors import InputError
from ovtasks.host.bridge import NETWORK, check_bridge
from ovtasks.machine.device import Attached
from ovtasks.machine.machine import Machine
from ovtasks.machine.outside import attached
from ovtasks.values.words import dotted

SYSTEM = "OV_LIBVIRT_URI=qemu:///system"


def check_networks(machine: Machine, uri: str | None) -> None:
    """Check each card.

    :raises OvError: a card cannot be had there; the hint gives the next step.
    """
    name = uri_of(uri)
    session = name.partition("?")[0].endswith("/session")
    for card in attached(machine):
        if card.kind == "network":
            _network(card, name, session=session)
        elif card.kind == "bridge" and is_local(name):
            check_bridge(card.name, card.field, helper=session)
        elif card.kind == "direct":
            _direct(card, name, session=session)


def _direct(card: Attached, uri: str, *, session: bool) -> None:
    place = dotted(card.field)
    if session:
        message = f"{place}: a card of the host needs rights that a libvirt session has not"
        raise InputError(message, hint=f"{SYSTEM}; or a bridge; or network.mode: user", field=card.field)
    if is_local(uri) and not (NETWORK / card.name).exists():
        there = ", ".join(sorted(path.name for path in NETWORK.iterdir() if path.name != "lo"))
        message = f"{place}: this host has no card {card.name}"
        raise InputError(message, hint=f"there are {there}" if there else None, field=card.field)


def _network(card: Attached, uri: str, *, session: bool) -> None:
    libvirt = load()
    place = dotted(card.field)
    with diagnosed(f"look for the network {card.name}", card.name):
        daemon = connection(uri)
        try:
            found = daemon.networkLookupByName(card.name)
        except libvirt.libvirtError as e:
            if e.get_error_code() not in {libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_NO_SUPPORT}:
                raise
            why, hint = "", "virsh net-define makes one"
            if session:
                why = ": a session has none of its own"
                hint = f"network.mode: user; or {SYSTEM}; or a bridge, also that of a network of the system's"
            elif names := sorted(one.name() for one in daemon.listAllNetworks()):
                hint = f"there are {', '.join(names)}"
            message = f"{place}: {uri} has no network {card.name}{why}"
            raise InputError(message, hint=hint, field=card.field) from None
        if not found.isActive():
            message = f"{place}: the network {card.name} is not active"
            raise InputError(message, hint=f"virsh -c {uri} net-start {card.name}", field=card.field)

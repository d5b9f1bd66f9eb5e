"""The guest's addresses, as far as libvirt and this host know them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_local, load, uri_of
from ovtasks.host import lan


def addresses(handle: Handle) -> tuple[str, ...]:
    """Ask the guest's agent, then the network's leases, then the host's neighbour table. () if none of them knows."""
    libvirt = load()
    with diagnosed(f"ask for the addresses of {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None or not domain.isActive():
            return ()
        macs = [mac.get("address", "") for mac in ET.fromstring(domain.XMLDesc()).findall("devices/interface/mac")]
        for source in (
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        ):
            with contextlib.suppress(libvirt.libvirtError):
                if found := best(domain.interfaceAddresses(source), macs):
                    return found
    # libvirt knows the leases of its own networks only; for a bridge, ask the host
    return tuple(address for mac in macs for address in lan.addresses(mac)) if is_local(uri_of(handle.uri)) else ()


def best(interfaces: Mapping[str, Any], macs: list[str]) -> tuple[str, ...]:
    """Sort what libvirt found: the VM's own cards before bridges and tunnels inside the guest, IPv4 before IPv6."""
    found = [
        ((card.get("hwaddr") or "").lower() not in macs, ":" in one["addr"], one["addr"])
        for card in interfaces.values()
        for one in card["addrs"] or ()
        if lan.reachable(one["addr"])
    ]
    return tuple(dict.fromkeys(address for _, _, address in sorted(found, key=lambda one: one[:2])))

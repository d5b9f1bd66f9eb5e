"""The guest's addresses, as libvirt can know them."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.errors import translated
from ovtasks.backends.libvirt.session import connection, load
from ovtasks.instance.backend import Handle


def addresses(handle: Handle) -> tuple[str, ...]:
    """From the guest's agent, else the network's leases, else the host's neighbour table; () when nobody knows."""
    libvirt = load()
    with translated(f"ask for the addresses of {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None or not domain.isActive():
            return ()
        for source in (
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        ):
            with contextlib.suppress(libvirt.libvirtError):
                interfaces = domain.interfaceAddresses(source)
                every = [one["addr"] for card in interfaces.values() for one in card["addrs"] or ()]
                if found := tuple(dict.fromkeys(address for address in every if reachable(address))):
                    return found
    return ()


def reachable(address: str) -> bool:
    """Whether it is more than the guest's own (loopback) or its link's."""
    value = ip_address(address.partition("%")[0])
    return not (value.is_loopback or value.is_link_local)

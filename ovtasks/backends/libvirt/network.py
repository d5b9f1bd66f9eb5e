"""What a VM's first network card needs of libvirt and of this host, looked at before the VM is defined.

A user's session has no networks of its own and no right to make devices: it joins bridges by qemu-bridge-helper, and
cannot use a card of the host directly.
"""

from __future__ import annotations

from ovtasks.backends.libvirt.errors import translated
from ovtasks.backends.libvirt.session import connection, is_local, is_own_session, load, uri_of
from ovtasks.errors import InputError
from ovtasks.host.bridge import NETWORK, check_bridge
from ovtasks.render.machine import Nic

SYSTEM = "OV_LIBVIRT_URI=qemu:///system"


def check_network(nic: Nic, uri: str | None) -> None:
    """:raises OvError: the card cannot be had there; the next step is told."""
    name = uri_of(uri)
    session = name.partition("?")[0].endswith("/session")
    if nic.mode in {"nat", "network"}:
        _network(nic.network or nic.bridge or "default", nic.mode, name, session=session)
    elif nic.mode == "bridge" and is_local(name):
        check_bridge(nic.bridge or "", helper=is_own_session(name) or session)
    elif nic.mode == "direct":
        if session:
            message = "network.mode: direct needs rights that a libvirt session has not"
            raise InputError(message, hint=f"{SYSTEM}; or mode: bridge or user", field=("network", "mode"))
        if is_local(name) and not (NETWORK / (nic.dev or "")).exists():
            there = ", ".join(sorted(path.name for path in NETWORK.iterdir() if path.name != "lo"))
            hint = f"there are {there}" if there else None
            raise InputError(f"network.dev: {nic.dev} does not exist", hint=hint, field=("network", "dev"))


def _network(network: str, mode: str, uri: str, *, session: bool) -> None:
    libvirt = load()
    with translated(f"look for the network {network}", network):
        daemon = connection(uri)
        try:
            found = daemon.networkLookupByName(network)
        except libvirt.libvirtError as e:
            if e.get_error_code() not in {libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_NO_SUPPORT}:
                raise
            if session:
                hint = f"mode: user; or {SYSTEM}; or mode: bridge with the bridge of a network of the system's"
                why = ": a session has no networks of its own"
            else:
                names = [one.name() for one in daemon.listAllNetworks()]
                hint = f"there are {', '.join(sorted(names))}" if names else "virsh net-define makes one"
                why = ""
            message = f"network.mode: {mode}: {uri} has no network {network}{why}"
            raise InputError(message, hint=hint, field=("network", "mode")) from None
        if not found.isActive():
            message = f"network.mode: {mode}: the network {network} is not active"
            raise InputError(message, hint=f"virsh -c {uri} net-start {network}", field=("network", "mode"))

"""Reads port forwards back from QEMU's command line: ``hostfwd=`` of its user-mode network."""

from __future__ import annotations

import re

from ovtasks.values.ports import PortForward

_HOSTFWD = re.compile(r"\bhostfwd=(tcp|udp):([^:,]*):([0-9]+)-[^:,]*:([0-9]+)")


def forwards_in(netdev: str) -> tuple[PortForward, ...]:
    """The forwards in ``netdev``, the value of QEMU's option ``-netdev user,…``."""
    found = _HOSTFWD.findall(netdev)
    return tuple(PortForward(int(host), int(guest), protocol, address) for protocol, address, host, guest in found)

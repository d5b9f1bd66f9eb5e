"""Port forwards as text: ``host:guest``, ``host:guest/udp``, ``address:host:guest``, ``auto:guest``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ovtasks.errors import InputError

AUTO = "auto"
"""In place of a host port: ``create`` chooses one that is free, and the instance keeps it."""
EXAMPLES = 'write "8080:80", "5353:53/udp", "0.0.0.0:8443:443" or "auto:80"'

_FORWARD = re.compile(
    r"(?:(?P<address>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<host>[0-9]+|auto):(?P<guest>[0-9]+)(?:/(?P<protocol>tcp|udp))?",
    re.ASCII,
)


@dataclass(frozen=True)
class PortForward:
    """A host port that leads to a guest port. ``host`` is 0 as long as ``create`` has not chosen one (``auto``).

    ``protocol`` is tcp or udp, ``address`` the host's address to listen on.
    """

    host: int
    guest: int
    protocol: str = "tcp"
    address: str = "127.0.0.1"


def parse_forward(text: str) -> tuple[int, int, str, str]:
    """Host port (0: auto), guest port, protocol and the host's address to listen on (127.0.0.1 unless written).

    :raises InputError: the form is wrong, a port lies outside 1–65535, or the address is not one.
    """
    found = _FORWARD.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text!r} is not a port forward", hint=EXAMPLES)
    for part in ("host", "guest"):
        if found[part] == AUTO:
            continue
        if len(found[part]) > 5 or not 1 <= int(found[part]) <= 65535:
            raise InputError(f"{part} port {found[part]} of {text!r} is not in 1–65535", hint=EXAMPLES)
    address = (found["address"] or "127.0.0.1").strip("[]")
    if found["address"] and not _is_address(address):
        raise InputError(f"{address!r} of {text!r} is not an IP address", hint=EXAMPLES)
    return 0 if found["host"] == AUTO else int(found["host"]), int(found["guest"]), found["protocol"] or "tcp", address


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

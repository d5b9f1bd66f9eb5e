"""The addresses of a network card on this host's networks, by its MAC: DHCP leases given here, the neighbour table.

Formats: dnsmasq(8), "lease file": time of expiry, MAC, address, name, client; libvirt's leases helper writes the same
as JSON; ip-neighbour(8).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.run import run, which

LEASES = ("var/lib/misc", "var/lib/dnsmasq", "var/lib/NetworkManager", "run/dnsmasq")
"""Below the root: folders of dnsmasq's ``*.leases``."""
LIBVIRT = "var/lib/libvirt/dnsmasq"
"""Below the root: the folder of libvirt's ``*.status``."""
_NOBODY = frozenset({"FAILED", "INCOMPLETE", "NONE"})


def addresses(mac: str, root: Path = Path("/")) -> tuple[str, ...]:
    """The card's addresses: from the newest lease, then from the kernel's neighbour table; IPv4 first. () if unknown.

    The lease files' folders are taken below ``root``.
    """
    leased = sorted(_leases(mac.lower(), root), reverse=True)
    found = [address for _, address in leased] or sorted(_neighbours(mac.lower()), key=lambda one: ":" in one)
    return tuple(dict.fromkeys(address for address in found if reachable(address)))


def reachable(address: str) -> bool:
    """Whether others can reach it: it is neither a loopback nor a link-local address."""
    value = ip_address(address.partition("%")[0])
    return not (value.is_loopback or value.is_link_local)


def _leases(mac: str, root: Path) -> Iterator[tuple[float, str]]:
    """The leases that have not ended: when each ends, and its address."""
    now = time.time()
    for ends, owner, address in (*_dnsmasq(root), *_libvirt(root)):
        if owner.lower() == mac and (ends == 0 or ends > now):
            yield ends or float("inf"), address


def _dnsmasq(root: Path) -> Iterator[tuple[float, str, str]]:
    for folder in LEASES:
        for path in sorted((root / folder).glob("*.leases")):
            with contextlib.suppress(OSError):
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    words = line.split()
                    if len(words) >= 4 and words[0].isdigit() and words[1].count(":") == 5:
                        yield float(words[0]), words[1], words[2]


def _libvirt(root: Path) -> Iterator[tuple[float, str, str]]:
    for path in sorted((root / LIBVIRT).glob("*.status")):
        with contextlib.suppress(OSError, ValueError):
            leases = json.loads(path.read_bytes() or b"[]")
            for lease in leases if isinstance(leases, list) else ():
                if isinstance(lease, Mapping):
                    ends = float(lease.get("expiry-time", 0))
                    yield ends, str(lease.get("mac-address", "")), str(lease.get("ip-address", ""))


def _neighbours(mac: str) -> Iterator[str]:
    if which("ip") is None:
        return
    with contextlib.suppress(OvError, ValueError):
        for entry in json.loads(run(["ip", "-json", "neigh", "show"], timeout=10).stdout or "[]"):
            if str(entry.get("lladdr", "")).lower() == mac and not _NOBODY & {*entry.get("state", ())}:
                yield str(entry["dst"])

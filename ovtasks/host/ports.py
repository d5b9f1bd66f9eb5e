"""This host's ports: whether one is free, and who has it.

Formats: proc_net(5) for ``/proc/net/tcp`` and its sisters, proc_pid_fd(5) for ``socket:[inode]``.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.users import user_name

_TCP_LISTEN = 0x0A
_UDP_UNCONNECTED = 0x07


def free(port: int, protocol: str = "tcp", address: str = "127.0.0.1") -> bool:
    """Whether a program of ours could listen there now. This is tried, by listening.

    A connection in TIME_WAIT does not take the port; a listener on the wildcard address does.

    :raises OvError: the address is not one of this host's, or only root may use the port.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:  # a program that listens on "::" takes IPv4, too
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if protocol == "tcp":  # on Linux this ignores TIME_WAIT but no listener; for UDP it would ignore everybody
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            if protocol == "tcp":  # two bound sockets may share a port, two listening ones may not
                probe.listen(1)
    except OSError as e:
        if e.errno == errno.EADDRINUSE:
            return False
        if e.errno == errno.EACCES:
            hint = "choose a port above 1023, or lower sysctl net.ipv4.ip_unprivileged_port_start"
            raise OvError(f"port {port}/{protocol} can only be opened by root", hint=hint) from None
        if e.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            hint = "127.0.0.1, 0.0.0.0, or an address that `ip address` shows"
            raise OvError(f"{address} is not an address of this host", hint=hint) from None
        reason = os.strerror(e.errno or 0).lower()
        raise OvError(f"cannot try port {port}/{protocol} on {address}: {reason}") from None
    return True


@dataclass(frozen=True, slots=True)
class _BoundSocket:
    """A line of ``/proc/net/…``.

    ``serves``: it listens (TCP), or receives from everybody (UDP). ``inode`` 0: no owner.
    """

    address: str
    port: int
    serves: bool
    uid: int
    inode: int


def owner(port: int, protocol: str = "tcp", address: str | None = None) -> str | None:
    """Who has the port: ``sshd (pid 812)``, ``another user's process (bob)``; None if nobody can be seen.

    With ``address`` only those count who stand in the way of listening there. Listeners come before connections.
    """
    found = [s for s in _sockets(protocol) if s.port == port and s.inode and _collides(s.address, address)]
    if not found:
        return None
    found.sort(key=lambda s: not s.serves)
    processes = _processes({s.inode for s in found})
    for one in found:
        if one.inode in processes:
            pid = min(processes[one.inode])  # the parent, if several processes share it
            return f"{_name(pid)} (pid {pid})"
    if found[0].uid != os.geteuid():
        return f"another user's process ({user_name(found[0].uid)})"
    return "a process that cannot be seen from here"


def _collides(one: str, other: str | None) -> bool:
    if other is None:
        return True
    addresses = {ipaddress.ip_address(one), ipaddress.ip_address(other)}
    return len(addresses) == 1 or any(address.is_unspecified for address in addresses)


def _sockets(protocol: str) -> Iterator[_BoundSocket]:
    serving = _TCP_LISTEN if protocol == "tcp" else _UDP_UNCONNECTED
    for name in (protocol, f"{protocol}6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:  # no IPv6
            continue
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            serves = int(fields[3], 16) == serving
            yield _BoundSocket(_address(address), int(port, 16), serves, int(fields[7]), int(fields[9]))


def _address(digits: str) -> str:
    """An address of ``/proc/net``: the kernel prints four bytes at a time, in this machine's byte order."""
    raw = bytes.fromhex(digits)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _processes(inodes: set[int]) -> dict[int, list[int]]:
    """The ids of processes by the inode of the socket they hold, as far as we may look into them."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            for fd in os.listdir(process / "fd"):  # noqa: PTH208 - a host has thousands of them
                with contextlib.suppress(OSError):
                    if (target := os.readlink(f"{process}/fd/{fd}")) in wanted:  # noqa: PTH115
                        found.setdefault(wanted[target], []).append(int(process.name))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"

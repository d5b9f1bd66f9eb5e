"""The host addresses and ports at which the guests' SSH servers are reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovtasks.backends.contract import VmStatus, backend
from ovtasks.errors import OvError
from ovtasks.instance.record import Record

LOOPBACK = "127.0.0.1"


def address_of(record: Record) -> tuple[str, int]:
    """The address and port at which this host reaches the guest's SSH server.

    :raises OvError: the VM has an address of its own, and it cannot be found.
    """
    if record.ssh_port is not None:
        return LOOPBACK, record.ssh_port
    found = backend(record.backend).addresses(record.handle) or record.addresses
    if not found:
        hint = "it may still be booting; the guest agent (qemu-guest-agent in the guest) tells its address at once"
        raise OvError(f"no address of {record.words} can be found", hint=hint)
    return found[0], 22


def reached(records: Sequence[Record], statuses: Mapping[str, VmStatus]) -> dict[str, tuple[str, int]]:
    """The address and port of each guest's SSH server, by domain.

    Running VMs with addresses of their own are asked at the same time. VMs whose address is unknown are left out.
    """
    found = {one.domain: (LOOPBACK, one.ssh_port) for one in records if one.ssh_port is not None}
    asked = [one for one in records if one.ssh_port is None and statuses[one.domain].active]
    if asked:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(asked)) as pool:
            answers = pool.map(_address_or_none, asked)
            found |= {one.domain: answer for one, answer in zip(asked, answers, strict=True) if answer is not None}
    return found


def _address_or_none(record: Record) -> tuple[str, int] | None:
    try:
        return address_of(record)
    except OvError:
        return None

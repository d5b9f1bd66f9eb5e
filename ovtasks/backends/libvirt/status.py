"""The status of VMs. Each daemon is asked once for all of its VMs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Handle, VmState, VmStatus
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_own_session, load, runtime_directory, uri_of
from ovtasks.errors import OvError

if TYPE_CHECKING:
    import libvirt

Stats = Mapping[str, int]


def states(handles: Iterable[Handle]) -> dict[str, VmStatus]:
    """The status of each VM, by domain. Starts a session daemon that does not run, because only the daemon knows.

    Never raises: if a daemon does not answer, its VMs are UNKNOWN. Without handles, no daemon is asked.
    """
    by_uri: dict[str, list[Handle]] = {}
    for handle in handles:
        by_uri.setdefault(uri_of(handle.uri), []).append(handle)
    found: dict[str, VmStatus] = {}
    for uri, some in by_uri.items():
        try:
            found |= _ask(uri, some)
        except OvError as e:
            found |= {handle.domain: VmStatus(VmState.UNKNOWN, note=e.message) for handle in some}
    return found


def _ask(uri: str, handles: list[Handle]) -> dict[str, VmStatus]:
    libvirt = load()
    with diagnosed(f"list the VMs of {uri}", uri):
        stats = connection(uri).getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON,
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT,  # a busy VM is listed without its memory
        )
        domains = {domain.name(): (domain, one) for domain, one in stats}
        return {handle.domain: _status(handle, uri, domains.get(handle.domain)) for handle in handles}


def _status(handle: Handle, uri: str, found: tuple[libvirt.virDomain, Stats] | None) -> VmStatus:
    if found is None:
        return VmStatus(VmState.UNDEFINED)
    domain, stats = found
    if domain.UUIDString() != handle.uuid:
        return VmStatus(VmState.UNDEFINED, note="libvirt has a domain of this name that is not ours")
    state, note = state_of(stats.get("state.state", 0), stats.get("state.reason", 0))
    if not VmStatus(state).active:
        return VmStatus(state, note=note)
    memory = stats.get("balloon.current", stats.get("balloon.maximum"))
    pid, gone = process(handle.domain) if is_own_session(uri) else (None, False)
    if gone:
        return VmStatus(VmState.CRASHED, note="QEMU's process is gone")
    return VmStatus(state, memory and memory << 10, _uptime(pid) if pid else None, pid, note)


def state_of(state: int, reason: int) -> tuple[VmState, str | None]:
    """Our state and note for libvirt's ``virDomainState`` and its reason."""
    libvirt = load()
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
            return VmState.CRASHED, "QEMU ended unexpectedly"
        saved = reason == libvirt.VIR_DOMAIN_SHUTOFF_SAVED
        return VmState.STOPPED, "saved to disk: goes on at the next start" if saved else None
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
        return VmState.PAUSED, "its disk could not be written: is the host's disk full?"
    words = {
        libvirt.VIR_DOMAIN_RUNNING: VmState.RUNNING,
        libvirt.VIR_DOMAIN_BLOCKED: VmState.RUNNING,
        libvirt.VIR_DOMAIN_PAUSED: VmState.PAUSED,
        libvirt.VIR_DOMAIN_PMSUSPENDED: VmState.PAUSED,
        libvirt.VIR_DOMAIN_SHUTDOWN: VmState.STOPPING,
        libvirt.VIR_DOMAIN_CRASHED: VmState.CRASHED,
    }
    return words.get(state, VmState.UNKNOWN), None


def process(domain: str) -> tuple[int | None, bool]:
    """QEMU's process id from libvirt's pid file, and whether that process is certainly gone.

    A daemon that was killed and restarted believes for some seconds that all VMs in its files still run.
    """
    try:
        pid = int((runtime_directory() / "qemu" / "run" / f"{domain}.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None, False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None, True
    guest = f"guest={domain}".encode()
    mine = any(word == guest or word.startswith(guest + b",") for word in command)
    return (pid, False) if mine else (None, True)


def _uptime(pid: int) -> float | None:
    """Seconds since the process started, from field 22 of ``/proc/PID/stat`` (proc(5)), counted after the name."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return None
    return max(0.0, up - int(fields[19]) / os.sysconf("SC_CLK_TCK"))

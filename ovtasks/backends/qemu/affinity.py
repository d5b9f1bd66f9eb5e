"""Pins threads of QEMU to CPUs of the host (sched_setaffinity(2))."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ovtasks.backends.contract import Handle
from ovtasks.backends.qemu import process
from ovtasks.backends.qemu.qmp import connect, mapping
from ovtasks.errors import InputError, OvError
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import QMP_SOCKET
from ovtasks.values.jsonvalue import Json


def pin(handle: Handle, command: Command) -> None:
    """Pin the threads of the guest's CPUs and the I/O threads as the spec says.

    :raises InputError: the host lacks those CPUs.
    :raises OvError: QEMU ended, or has no such thread.
    """
    if not command.pins and not command.thread_pins:
        return
    running = process.find(handle.directory / process.PID_FILE)
    if running is None:
        raise OvError(f"{handle.domain} ended at once", hint="ov vm logs")
    with connect(handle.sockets / QMP_SOCKET, running.pid) as qmp:
        cpus = _threads(qmp.execute("query-cpus-fast"), "cpu-index")
        iothreads = _threads(qmp.execute("query-iothreads"), "id")
    for number, hosts in command.pins.items():
        _set(cpus.get(str(number)), hosts, f"libvirt.cputune.vcpupin: processor {number}")
    for number, hosts in command.thread_pins.items():
        _set(iothreads.get(f"iothread{number}"), hosts, f"libvirt.cputune.iothreadpin: I/O thread {number}")


def _threads(answer: Json, key: str) -> Mapping[str, int]:
    """Thread ids, by the value of ``key``."""
    items = [mapping(item) for item in answer] if isinstance(answer, list) else []
    return {str(item.get(key)): int(str(item.get("thread-id"))) for item in items}


def _set(thread: int | None, hosts: frozenset[int], what: str) -> None:
    words = ", ".join(map(str, sorted(hosts)))
    if thread is None:
        raise OvError(f"{what}: QEMU has no thread for it", hint="ov vm logs")
    try:
        os.sched_setaffinity(thread, hosts)
    except OSError as e:
        here = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        message = f"{what} cannot run on {words}: {os.strerror(e.errno or 0).lower()}"
        raise InputError(message, hint=f"this host's processors: {here}") from e

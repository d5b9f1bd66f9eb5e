"""Starts one VM: prepares its files, starts its helpers and QEMU, and waits until QEMU answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ovtasks.backends.contract import Handle
from ovtasks.backends.qemu import helpers, process
from ovtasks.backends.qemu.affinity import pin
from ovtasks.backends.qemu.diagnosis import diagnose, missing_file
from ovtasks.backends.qemu.memory import load
from ovtasks.backends.qemu.process import PID_FILE
from ovtasks.backends.qemu.qmp import NoQmpError, SilentError, connect
from ovtasks.backends.qemu.sweep import sweep
from ovtasks.errors import OvError
from ovtasks.host.files import create, write_atomic
from ovtasks.host.spawn import spawn
from ovtasks.host.state import open_log
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import QMP_SOCKET

LOG = "qemu.log"
DEADLINE = 120.0
"""Seconds that QEMU gets to set up its machine and answer. A busy host or much memory takes long."""
SETTLE = 10.0
"""Seconds that a QEMU that was just started gets to write its process id file."""


def launch(handle: Handle, command: Command, memory: Path | None = None) -> None:
    """Start the helpers and QEMU, and wait until the machine is up. The VM must not run yet.

    ``memory`` is a file by :func:`.memory.save` from which the guest goes on.

    :raises OvError: it does not start; the message gives the reason, and nothing is left running.
    """
    machine = command.machine
    if (error := missing_file(machine)) is not None:
        raise error
    log = handle.directory / LOG
    before = log.stat().st_size if log.exists() else 0
    helpers.end(handle)  # left by a QEMU that was killed
    sweep(handle)
    machine.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    create(machine.serial_log, append=True).close()  # QEMU would follow a link
    status: Callable[[], int | None] = bool  # until QEMU is spawned: bool() is 0, as if it had ended with status 0
    try:
        for name, text in command.secrets.items():
            write_atomic(machine.sockets / name, text, mode=0o600)
        helpers.start(handle, command.helpers)
        waiting = () if memory is None else ("-incoming", "defer")
        status = spawn([*argv_of(command), *waiting, "-pidfile", str(handle.directory / PID_FILE)], log)
        ended = _wait(handle, status)
        if ended is None:
            pin(handle, command)
            ended = _fill(handle, memory, status) if memory is not None else None
    except BaseException:
        _abandon(handle, status)
        raise
    if ended is not None:
        _abandon(handle, status)
        raise diagnose(_since(log, before), machine, ended, log)


def _fill(handle: Handle, memory: Path, status: Callable[[], int | None]) -> int | None:
    """Let the machine go on from ``memory``. If QEMU ends, because it is another machine's, return its exit status."""
    try:
        load(handle, memory)
    except NoQmpError:
        until = time.monotonic() + SETTLE
        while status() is None and time.monotonic() < until:
            time.sleep(0.01)
        if (ended := status()) is None:
            raise
        return ended
    return None


def _abandon(handle: Handle, status: Callable[[], int | None]) -> None:
    """Kill what runs of the VM and remove its leftovers. ``status`` returns QEMU's exit status, None while it runs."""
    pid_file = handle.directory / PID_FILE
    until = time.monotonic() + SETTLE
    while status() is None and process.find(pid_file) is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill(pid_file)
    helpers.end(handle, grace=0.0)
    sweep(handle)


def _wait(handle: Handle, status: Callable[[], int | None]) -> int | None:
    """Wait until QEMU answers, then return None. If it ends first, return its exit status."""
    until = time.monotonic() + DEADLINE
    pause = 0.01
    while (ended := status()) is None:
        running = process.find(handle.directory / PID_FILE)
        if running is not None:
            try:
                with connect(handle.sockets / QMP_SOCKET, running.pid, max(until - time.monotonic(), 0.01)) as qmp:
                    qmp.execute("query-status")
                return None
            except NoQmpError:
                pass  # it does not listen yet, or it is ending
            except SilentError:
                pass
        if time.monotonic() > until:
            hint = f"look at {handle.directory / LOG}; is the host overloaded?"
            raise OvError(f"QEMU did not start its machine within {DEADLINE:g} s", hint=hint)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return ended


def _since(log: Path, offset: int) -> str:
    with open_log(log) as file:
        file.seek(offset)
        return file.read().decode(errors="replace")

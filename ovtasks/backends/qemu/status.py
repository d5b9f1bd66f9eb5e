"""The status of VMs, for ``ov vm list``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping

from ovtasks.backends.contract import Handle, VmState, VmStatus
from ovtasks.backends.qemu import process
from ovtasks.backends.qemu.process import PID_FILE, Process
from ovtasks.backends.qemu.qmp import NoQmpError, Qmp, QmpError, SilentError, mapping
from ovtasks.machine.qemu.names import QMP_SOCKET, STATUS_SOCKET

DEFINITION = "argv.json"
DEADLINE = 3.0
"""Seconds for all VMs together. All are asked at once, so one that hangs delays the others no longer than this."""
STARTING = 30.0
"""Seconds after its start. A QEMU without a socket counts as starting until then, and as ending afterwards."""

# Notes for those of QEMU's run states (RunState in its QMP reference) that need a word of explanation.
_NOTES = {
    "io-error": "halted: the disk cannot be read or written (is the host's full?)",
    "internal-error": "halted: QEMU or KVM has failed",
    "guest-panicked": "halted: the guest's kernel has panicked",
    "watchdog": "halted by its watchdog",
}


def states(handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
    """The status of each VM, by domain."""
    found = {handle: find(handle) for handle in handles}
    until = time.monotonic() + DEADLINE
    with contextlib.ExitStack() as stack:
        questions: dict[Handle, Qmp | VmState | str] = {}
        for handle, running in found.items():
            if running is not None:
                questions[handle] = _ask(handle, running, until)
                if isinstance(question := questions[handle], Qmp):
                    stack.callback(question.close)
        return {
            handle.domain: _stopped(handle) if running is None else _status(questions[handle], running)
            for handle, running in found.items()
        }


def find(handle: Handle) -> Process | None:
    """The VM's QEMU. None if it does not run. If its process id file was lost but its control socket is there, search
    all processes."""
    pid_file = handle.directory / PID_FILE
    lost = not pid_file.exists() and (handle.sockets / QMP_SOCKET).exists()
    return process.find_and_restore(pid_file) if lost else process.find(pid_file)


def _stopped(handle: Handle) -> VmStatus:
    if not (handle.directory / DEFINITION).exists():
        return VmStatus(VmState.UNDEFINED)
    abrupt = (handle.directory / PID_FILE).exists()
    return VmStatus(VmState.STOPPED, note="QEMU was killed, or the host went down" if abrupt else None)


def _ask(handle: Handle, running: Process, until: float) -> Qmp | VmState | str:
    """Send the questions and return the connection. Without one, return the state that follows, or a note."""
    for name in (STATUS_SOCKET, QMP_SOCKET):
        left = max(until - time.monotonic(), 0.01)
        try:
            qmp = Qmp(handle.sockets / name, running.pid, left)
        except NoQmpError:
            continue
        except SilentError as e:
            return e.message
        try:
            qmp.send("query-status")
            qmp.send("query-memory-size-summary")
        except (NoQmpError, SilentError) as e:
            qmp.close()
            return VmState.STOPPING if isinstance(e, NoQmpError) else e.message
        return qmp
    return VmState.RUNNING if running.uptime < STARTING else VmState.STOPPING


def _status(question: Qmp | VmState | str, running: Process) -> VmStatus:
    """Read the answers. ``memory`` is the amount that the guest was given."""
    if isinstance(question, VmState):
        words = "QEMU is starting" if question is VmState.RUNNING else None
        return VmStatus(question, uptime=running.uptime, pid=running.pid, note=words)
    if isinstance(question, str):
        return VmStatus(VmState.RUNNING, uptime=running.uptime, pid=running.pid, note=question)
    memory: int | None = None
    note: str | None = None
    try:
        # number 1 was qmp_capabilities; 2 and 3 are the questions of _ask
        word = str(mapping(question.receive(2)).get("status"))
        state = _state(word)
        note = _NOTES.get(word)
        sizes = mapping(question.receive(3))
        memory = sum(int(str(sizes.get(key, 0))) for key in ("base-memory", "plugged-memory"))
    except NoQmpError:
        state = VmState.STOPPING
    except (SilentError, QmpError) as e:
        state, note = VmState.RUNNING, e.message
    return VmStatus(state, memory, running.uptime, running.pid, note)


def _state(word: str) -> VmState:
    if word in {"running", "finish-migrate", "debug"}:
        return VmState.RUNNING
    return VmState.STOPPING if word == "shutdown" else VmState.PAUSED

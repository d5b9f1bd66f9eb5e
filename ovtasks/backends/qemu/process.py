"""The processes of one VM: which they are, and how they end. A process id alone is never believed.

QEMU and swtpm write their process id into a file in the VM's directory, which they remove when they end by themselves;
for virtiofsd we write it, into a file beside its socket. After a SIGKILL or a power cut it stays, and the number may
belong to anybody: so the process with that number is ours only if its command line names this very file, or the socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError
from ovtasks.host.files import write_atomic
from ovtasks.host.state import StateError, read_state

PID_FILE = "qemu.pid"
PID_BYTES = 32
HELPER_SUFFIX = ".process"
"""Of a file with a process id, behind the name of the process's socket."""


@dataclass(frozen=True)
class Process:
    """``started`` is in seconds since the host's boot."""

    pid: int
    started: float

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.started, 0.0)


def find(pid_file: Path) -> Process | None:
    """The living process that wrote ``pid_file``; None: there is none."""
    try:
        pid = int(read_state(pid_file, limit=PID_BYTES) or b"")
    except (StateError, UnsafeError, ValueError):
        return None
    return _verified(pid, pid_file) if pid > 0 else None


def find_anywhere(pid_file: Path) -> Process | None:
    """As :func:`find`; where the file was lost, all processes are looked through."""
    found = find(pid_file)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()] if found is None else []
    return found or next((one for pid in pids if (one := _verified(pid, pid_file)) is not None), None)


def find_and_restore(pid_file: Path) -> Process | None:
    """As :func:`find_anywhere`; a file that was lost is written anew."""
    found = find_anywhere(pid_file)
    if found is not None and find(pid_file) is None:
        with contextlib.suppress(OSError):
            write_atomic(pid_file, f"{found.pid}\n", mode=0o600)
    return found


def lines() -> Iterator[list[str]]:
    """Every living process's command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (line := words(int(entry.name))):
            yield line


def words(pid: int) -> list[str]:
    """Its command line; it has ended: none."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")]


def _verified(pid: int, pid_file: Path) -> Process | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): the second field, a name in parentheses, may hold anything; state is field 3, starttime field 22
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in {b"Z", b"X"} or not any(_option(*pair, pid_file) for pair in pairwise(words)):
        return None
    return Process(pid, int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _option(name: bytes, value: bytes, pid_file: Path) -> bool:
    """Whether two words of a command line are the option for ``pid_file``, whatever way its path was written."""
    if pid_file.name.endswith(HELPER_SUFFIX):
        return value == b"--socket-path=" + os.fsencode(pid_file).removesuffix(HELPER_SUFFIX.encode())
    if name not in {b"-pidfile", b"--pid"}:
        return False
    path = Path(os.fsdecode(value.removeprefix(b"file=")))
    if path == pid_file:
        return True
    try:
        return path.is_absolute() and path.samefile(pid_file)
    except (OSError, ValueError):
        return False


def end(pid_file: Path, number: signal.Signals | None, seconds: float) -> bool:
    """Send it a signal (None: just wait) and wait until it has ended; whether it has. No process: it has."""
    with _handle(pid_file) as handle:
        if handle is None:
            return True
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def kill(pid_file: Path, seconds: float = 60.0) -> None:
    """SIGKILL it and wait until it is gone; no process: nothing to do.

    :raises OvError: it is still there after ``seconds``.
    """
    if not end(pid_file, signal.SIGKILL, seconds):
        hint = "the kernel is waiting for a disk or a network that does not answer; see dmesg"
        raise OvError(f"the process of {pid_file} does not end, even by SIGKILL", hint=hint)


@contextlib.contextmanager
def _handle(pid_file: Path) -> Iterator[int | None]:
    """A pidfd of the process; None: there is none."""
    process = find(pid_file)
    if process is None:
        yield None
        return
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Verified once more: from here on, the handle cannot come to mean another process.
        yield handle if find(pid_file) == process else None
    finally:
        os.close(handle)

"""Finds and ends the processes of one VM. A process id alone is never trusted.

QEMU and swtpm write their process id into a file in the VM's directory and remove it when they end by themselves. For
virtiofsd, we write such a file beside its socket. After a SIGKILL or a power cut the file stays, and its number may now
belong to any process. So a process is ours only if its command line names this very file or that socket.
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
"""Ends the name of a process id file that stands beside a socket; the socket's name comes before it."""


@dataclass(frozen=True)
class Process:
    """A living process. ``started`` is in seconds since the host's boot."""

    pid: int
    started: float

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.started, 0.0)


def find(pid_file: Path) -> Process | None:
    """The living process that ``pid_file`` belongs to. None if there is none."""
    try:
        pid = int(read_state(pid_file, limit=PID_BYTES) or b"")
    except (StateError, UnsafeError, ValueError):
        return None
    return _verified(pid, pid_file) if pid > 0 else None


def find_anywhere(pid_file: Path) -> Process | None:
    """Like :func:`find`, but searches all processes if the file does not lead to one."""
    found = find(pid_file)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()] if found is None else []
    return found or next((one for pid in pids if (one := _verified(pid, pid_file)) is not None), None)


def find_and_restore(pid_file: Path) -> Process | None:
    """Like :func:`find_anywhere`; also rewrites a file that was lost."""
    found = find_anywhere(pid_file)
    if found is not None and find(pid_file) is None:
        with contextlib.suppress(OSError):
            write_atomic(pid_file, f"{found.pid}\n", mode=0o600)
    return found


def lines() -> Iterator[list[str]]:
    """The command lines of all living processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (line := words(int(entry.name))):
            yield line


def words(pid: int) -> list[str]:
    """The command line of a process. Empty if it has ended."""
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
    """Whether two words of a command line name ``pid_file``, even if its path is written in another way."""
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
    """Send the process the signal ``number``, if any, and wait up to ``seconds``. True if it has ended or was gone."""
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
    """Kill the process with SIGKILL and wait until it is gone. Having no process is no error.

    :raises OvError: it is still there after ``seconds``.
    """
    if not end(pid_file, signal.SIGKILL, seconds):
        hint = "the kernel is waiting for a disk or a network that does not answer; see dmesg"
        raise OvError(f"the process of {pid_file} does not end, even by SIGKILL", hint=hint)


@contextlib.contextmanager
def _handle(pid_file: Path) -> Iterator[int | None]:
    """A pidfd of the process. None if there is no process."""
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
        # Look again: the number may have been reused before pidfd_open. From here on the handle stays with its process.
        yield handle if find(pid_file) == process else None
    finally:
        os.close(handle)

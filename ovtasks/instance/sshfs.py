"""Starts, ends and asks the process that serves a guest the folders which it mounts by sshfs.

That process is :mod:`ovtasks.instance.sshfs_keeper`. It has a process id file in the instance's folder, as the helpers
beside QEMU have, and is found by its command line if that file is lost. It ends with the VM.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovtasks.backends.qemu import process
from ovtasks.errors import OvError
from ovtasks.host.state import try_load_state
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.values.mount import SSHFS

if TYPE_CHECKING:
    from ovtasks.guest.deadline import Deadline
    from ovtasks.machine.machine import Machine, SharedFolder

STATE_FILE = "sshfs.json"
LOG = "sshfs.log"
_END_SECONDS = 2.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class MountState:
    """Whether the guest has mounted a folder. ``why`` it has not; ``never``: it has no sshfs, and gets none."""

    mounted: bool = False
    why: str | None = None
    never: bool = False


def folders_of(machine: Machine | None) -> tuple[SharedFolder, ...]:
    """The folders that are mounted by sshfs."""
    return tuple(one for one in machine.shares if one.transport == SSHFS) if machine is not None else ()


def serve(record: Record, machine: Machine, *, anew: bool) -> None:
    """Serve the folders of a VM that runs, unless somebody serves just them; ``anew`` replaces who does in any case.
    The caller holds the lock.

    :raises OvError: who served does not end.
    """
    from ovtasks.host.spawn import spawn

    pid_file = record.folder.keeper
    folders = folders_of(machine)
    named = _named(folders)
    running = process.find_and_restore(pid_file)
    if not anew and running is not None and named in process.words(running.pid):
        return
    end(record.folder)
    if folders:
        words = [sys.executable, "-m", "ovtasks.instance.sshfs_keeper", named, "--pid", f"file={pid_file}"]
        spawn(words, record.folder.path / LOG, pid_file)


def _named(folders: tuple[SharedFolder, ...]) -> str:
    """A word for these folders, by which the process that serves others is told from one that serves them."""
    import hashlib

    return f"folders-{hashlib.sha256(repr(folders).encode(errors='surrogateescape')).hexdigest()[:16]}"


def end(folder: Folder) -> None:
    """End the process that serves; it is no error if there is none.

    :raises OvError: it does not end.
    """
    pid_file = folder.keeper
    while process.find_and_restore(pid_file) is not None:
        if not process.end(pid_file, signal.SIGTERM, _END_SECONDS):
            process.kill(pid_file)
    for path in (pid_file, folder.path / STATE_FILE):
        path.unlink(missing_ok=True)


def state_of(record: Record, tag: str) -> MountState:
    """Whether the guest has mounted the folder with this tag."""
    if process.find(record.folder.keeper) is None:
        return MountState(why=f"nobody serves it; `ov vm start {record.words}` does")
    noted = try_load_state(record.folder.path / STATE_FILE, private=True) or {}
    found = noted.get(tag)
    if not isinstance(found, dict):
        return MountState(why="the guest is not reached yet")
    why = found.get("why")
    return MountState(found.get("mounted") is True, why if isinstance(why, str) else None, found.get("never") is True)


def await_mounted(record: Record, deadline: Deadline, alive: Callable[[], str | None]) -> None:
    """Wait until the guest has mounted its folders; ``alive`` returns None while the VM runs.

    :raises OvError: it has not, and will not; the message says why.
    """
    from ovtasks.instance.saved_machine import load_machine

    for one in folders_of(load_machine(record.folder.machine)):
        while not (now := state_of(record, one.tag)).mounted:
            ended = alive()
            if ended is None and not now.never and not deadline.expired:
                deadline.pause(_LOOK_SECONDS)
                continue
            why = f"the VM is not running: {ended}" if ended is not None else now.why
            hint = f"more is in {record.folder.path / LOG}"
            if now.never:
                hint = "install sshfs in the guest (the package is called sshfs or fuse-sshfs), then it is mounted"
            raise OvError(f"{record.words}: the guest has not mounted {one.target}: {why}", hint=hint)

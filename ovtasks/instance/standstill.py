"""A running guest stands still for a moment, and goes on however we end.

A mark in the VM's folder says so before it does. A process waits for our end, and lets the guest go on if we were
killed. If that is killed, too, the next verb of snapshots does it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ovtasks.backends.contract import Agent, Memory, VmState, backend
from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.spawn import spawn
from ovtasks.host.state import read_text
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.instance.status import known

FROZEN = "frozen"
"""The guest's agent has frozen its file systems, so that they are whole on the disk."""
PAUSED = "paused"
"""Its processors are stopped while its memory is saved."""
PING_SECONDS, FREEZE_SECONDS, THAW_SECONDS = 3.0, 30.0, 60.0
_GUARD_SECONDS = 300.0
"""How long the process tries to let the guest go on."""


def has_agent(record: Record) -> bool:
    """Whether the guest's agent answers."""
    driver = backend(record.backend)
    with contextlib.suppress(OvError):
        if isinstance(driver, Agent):
            driver.ask_agent(record.handle, "guest-ping", {}, PING_SECONDS)
            return True
    return False


@contextlib.contextmanager
def frozen_files(record: Record) -> Iterator[None]:
    """The guest's file systems hold still inside the block. The caller holds the lock.

    :raises OvError: the agent cannot freeze them within :data:`FREEZE_SECONDS`, or not thaw them.
    """
    driver = backend(record.backend)
    assert isinstance(driver, Agent)
    write_atomic(record.folder.standstill, FROZEN, mode=0o600)
    _guard(record)
    try:
        driver.ask_agent(record.handle, "guest-fsfreeze-freeze", {}, FREEZE_SECONDS)
        yield
    finally:
        let_go_on(record)


@contextlib.contextmanager
def paused(record: Record) -> Iterator[None]:
    """The guest does nothing inside the block. One that was paused before stays so. The caller holds the lock.

    :raises OvError: it cannot be paused, or cannot go on.
    """
    driver = backend(record.backend)
    assert isinstance(driver, Memory)
    if known(record).state is not VmState.RUNNING:
        yield
        return
    write_atomic(record.folder.standstill, PAUSED, mode=0o600)
    _guard(record)
    try:
        driver.pause(record.handle)
        yield
    finally:
        let_go_on(record)


def let_go_on(record: Record) -> None:
    """Let the guest go on if it was left standing still. The caller holds the lock.

    :raises OvError: it cannot be reached.
    """
    mark = record.folder.standstill
    if (how := read_text(mark)) is None:
        return
    driver = backend(record.backend)
    if known(record).active:
        if how == FROZEN and isinstance(driver, Agent):
            driver.ask_agent(record.handle, "guest-fsfreeze-thaw", {}, THAW_SECONDS)
        if how == PAUSED and isinstance(driver, Memory):
            driver.resume(record.handle)
    mark.unlink(missing_ok=True)
    _log(record.folder).unlink(missing_ok=True)


def _log(folder: Folder) -> Path:
    return folder.standstill.with_suffix(".log")


def _guard(record: Record) -> None:
    spawn([sys.executable, "-m", __name__, str(record.folder.path), str(os.getpid())], _log(record.folder))


def main() -> int:
    """Wait until the process that started us ends, then let the guest go on."""
    folder, pid = Folder(Path(sys.argv[1])), int(sys.argv[2])
    with contextlib.suppress(ProcessLookupError):
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        while not poll.poll(200):
            if not folder.standstill.exists():
                return 0
    until = time.monotonic() + _GUARD_SECONDS
    while folder.standstill.exists() and time.monotonic() < until:
        with contextlib.suppress(OvError), folder.lock():
            if (found := existing(folder)) is None:
                return 1
            let_go_on(found.record)
        time.sleep(0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())

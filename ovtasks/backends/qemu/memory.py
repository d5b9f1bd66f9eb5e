"""Saves a paused VM's memory to a file and starts it from there, by a migration (QEMU: "Migration").

The file is handed over as a descriptor: QEMU's sandbox lets it start no program, and versions before 8.2 open none.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

from ovtasks.backends.contract import Handle
from ovtasks.backends.qemu.probing import pid_of
from ovtasks.backends.qemu.qmp import Qmp, connect, mapping
from ovtasks.errors import OvError
from ovtasks.machine.qemu.names import QMP_SOCKET

SECONDS = 1800.0
"""How long a transfer may take."""
_NAME = "memory"
_FASTEST = 1 << 40
"""Bytes per second. QEMU's own default is meant for networks."""


def pause(handle: Handle) -> None:
    """Stop the guest's processors."""
    with _connected(handle) as qmp:
        qmp.execute("stop")


def resume(handle: Handle) -> None:
    """Let them go on. A transfer that is under way is cancelled, since QEMU would stop them again at its end."""
    with _connected(handle) as qmp:
        if mapping(qmp.execute("query-migrate")).get("status") in {"setup", "active", "device", "pre-switchover"}:
            qmp.execute("migrate_cancel")
        while mapping(qmp.execute("query-migrate")).get("status") in {"active", "device", "cancelling"}:
            time.sleep(0.02)
        qmp.execute("cont")


def save(handle: Handle, file: Path) -> None:
    """Write the memory of the paused VM to ``file``.

    :raises OvError: a device of the VM cannot be saved, or the disk is full.
    """
    with _connected(handle) as qmp:
        qmp.execute("migrate-set-parameters", **{"max-bandwidth": _FASTEST})
        target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            qmp.hand_over(_NAME, target)
            qmp.execute("migrate", uri=f"fd:{_NAME}")
            _finish(qmp, "save its memory")
            os.fsync(target)
        finally:
            os.close(target)


def load(handle: Handle, file: Path) -> None:
    """Fill the memory of a VM that waits for it, and let the guest go on.

    :raises OvError: the memory is not that of such a machine.
    """
    with _connected(handle) as qmp:
        source = os.open(file, os.O_RDONLY)
        try:
            qmp.hand_over(_NAME, source)
            qmp.execute("migrate-incoming", uri=f"fd:{_NAME}")
            while mapping(qmp.execute("query-status")).get("status") == "inmigrate":
                time.sleep(0.02)
        finally:
            os.close(source)
        qmp.execute("cont")


def _finish(qmp: Qmp, what: str) -> None:
    pause = 0.02
    while (found := mapping(qmp.execute("query-migrate"))).get("status") != "completed":
        if found.get("status") in {"failed", "cancelled"}:
            raise OvError(f"QEMU cannot {what}: {found.get('error-desc') or found.get('status')}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _connected(handle: Handle) -> AbstractContextManager[Qmp]:
    return connect(handle.sockets / QMP_SOCKET, pid_of(handle), SECONDS)

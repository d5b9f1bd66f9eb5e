"""Removes the files that a killed QEMU leaves behind."""

from __future__ import annotations

from ovtasks.backends.contract import Handle
from ovtasks.backends.qemu.process import PID_FILE
from ovtasks.machine.qemu.names import AGENT_SOCKET, QMP_SOCKET, SECRET_SUFFIX, SERIAL_SOCKET, STATUS_SOCKET

_SOCKETS = (AGENT_SOCKET, QMP_SOCKET, SERIAL_SOCKET, STATUS_SOCKET)


def sweep(handle: Handle) -> None:
    """Remove the process id file, sockets and secrets that a killed QEMU left. The VM must not run."""
    (handle.directory / PID_FILE).unlink(missing_ok=True)
    if not (handle.sockets.is_dir() and any(handle.sockets.iterdir())):
        return
    from ovtasks.machine.devices import DEVICES  # imports all devices, so only if there is something to remove

    patterns = (
        *_SOCKETS,
        f"*{SECRET_SUFFIX}",
        "screen-*.ppm",
        *(pattern for device in DEVICES for pattern in device.leaves),
    )
    for path in (path for pattern in patterns for path in handle.sockets.glob(pattern)):
        path.unlink(missing_ok=True)

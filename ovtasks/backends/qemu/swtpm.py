"""An emulated TPM beside QEMU: swtpm(8), which ends when QEMU leaves it."""

from __future__ import annotations

from pathlib import Path

from ovtasks.backends.qemu import process
from ovtasks.errors import OvError
from ovtasks.host.run import run
from ovtasks.render.argv_devices import TPM_SOCKET

STATE = "tpm"
"""The folder of the TPM's memory in the VM's directory: what the guest sealed is lost with it."""
PID_FILE = "swtpm.pid"
LOG = "swtpm.log"
GRACE = 20.0


def start(directory: Path, sockets: Path, version: str) -> None:
    """Start it for the VM in ``directory``; ``version`` is ``1.2`` or ``2.0``.

    :raises OvError: a path has a comma in it, which swtpm has no way to write.
    :raises MissingProgramError: swtpm is not installed.
    :raises CommandError: it cannot start.
    """
    if "," in f"{directory}{sockets}":
        hint = "an $XDG_DATA_HOME without commas, or no libvirt.devices.tpm"
        raise OvError(f"swtpm cannot be given the path {directory}, which has a comma in it", hint=hint)
    end(directory)
    state = directory / STATE
    state.mkdir(mode=0o700, exist_ok=True)
    (sockets / TPM_SOCKET).unlink(missing_ok=True)
    run(
        [
            *("swtpm", "socket", *(["--tpm2"] if version == "2.0" else [])),
            *("--tpmstate", f"dir={state},mode=0600", "--ctrl", f"type=unixio,path={sockets / TPM_SOCKET},mode=0600"),
            *("--terminate", "--daemon", "--pid", f"file={directory / PID_FILE}", "--log", f"file={directory / LOG}"),
        ]
    )


def end(directory: Path, grace: float = GRACE) -> None:
    """Wait up to ``grace`` seconds until it has ended with its QEMU, then kill it. None there: nothing to do."""
    if not process.end(directory / PID_FILE, None, grace):
        process.kill(directory / PID_FILE)
    (directory / PID_FILE).unlink(missing_ok=True)

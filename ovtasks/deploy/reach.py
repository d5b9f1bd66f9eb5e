"""Gets to the guest of an instance: starts the VM if it is off, waits for it, and logs in."""

from __future__ import annotations

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection, connect
from ovtasks.guest.connection_errors import ConnectionFailedError
from ovtasks.host.progress import Progress
from ovtasks.instance.access import target_of
from ovtasks.instance.power import start
from ovtasks.instance.ready import wait
from ovtasks.instance.record import Record
from ovtasks.instance.status import known, slowness, status

READY_SECONDS = 300.0
"""How long a guest gets to boot and to finish cloud-init; ten times that under plain emulation."""
REBOOT_SECONDS = 180.0


def reach(record: Record, progress: Progress, *, known_guest: bool) -> Connection:
    """Log in to the guest. A stopped VM is started, never made anew.

    A guest that nobody has seen yet (``known_guest`` false), or that was just started, is waited for, with cloud-init.

    :raises InputError: it is not defined. :raises NotReadyError: it does not get ready.
    :raises OvError: it cannot be started or reached.
    """
    slow = slowness(record)
    started = not known(record).active and start(record, progress)
    if known_guest and not started:
        try:
            return connect(target_of(record, factor=slow))
        except ConnectionFailedError:
            progress.note(f"{record.words}: does not answer yet")
    wait(record, "cloud-init", READY_SECONDS * slow, slow, progress)
    return connect(target_of(record, factor=slow))


def again(record: Record) -> Connection:
    """Another login to a guest that was just reached.

    :raises OvError: it cannot be reached any more.
    """
    return connect(target_of(record, factor=slowness(record)))


def ended(record: Record) -> str | None:
    """Why the VM does not run; None if it does."""
    now = status(record)
    return None if now.active else now.note or now.state.value


def try_reach(record: Record, progress: Progress) -> Connection | None:
    """Log in to a guest that runs; None if it does not, or cannot be reached."""
    try:
        if known(record).active:
            return connect(target_of(record, factor=slowness(record)))
    except OvError as e:
        progress.note(f"{record.words}: {e.message}")
    return None

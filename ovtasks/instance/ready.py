"""``wait``: waits until the guest of an instance is ready."""

from __future__ import annotations

from ovtasks.errors import OvError
from ovtasks.guest.deadline import Deadline
from ovtasks.guest.notify import listening
from ovtasks.guest.readiness import Level, Ready, Stage, Wait
from ovtasks.guest.target import Target
from ovtasks.host.progress import Progress
from ovtasks.instance.access import CONTACT_SECONDS, first_contact, target_of
from ovtasks.instance.record import Record
from ovtasks.instance.status import status


def wait(
    record: Record,
    level: str,
    seconds: float,
    factor: float,
    progress: Progress,
    *,
    probe: str | None = None,
    accept: bool = False,
) -> Ready:
    """Wait up to ``seconds`` until the guest has reached ``level`` (``boot``, ``ssh``, ``cloud-init``). ``accept``:
    accept any host key.

    :raises NotReadyError: it has not reached the level; the message says why.
    :raises OvError: it is not running, or no user is known.
    """
    deadline = Deadline.after(seconds / factor, factor=factor)
    with listening(record.cid) as listener:
        waiting = Wait(
            target=_find_target(record, deadline, factor),
            deadline=deadline,
            alive=lambda: _ended(record),
            serial=record.folder.serial_log,
            log_start=record.log_start,
            contact=lambda: _contact(record, progress, factor, accept=accept),
            on_stage=lambda stage, after: _say(record, stage, after, progress),
            listener=listener,
        )
        ready = waiting.until(Level(level), probe)
    for note in ready.notes:
        progress.note(f"{record.words}: {note}")
    return ready


def _find_target(record: Record, deadline: Deadline, factor: float) -> Target:
    """The target for ssh. Waits until a guest with its own address has one.

    :raises OvError: the VM is not running, no user is known, or no address appears in time.
    """
    while True:
        if (ended := _ended(record)) is not None:
            raise OvError(f"{record.words} is not running: {ended}", hint=f"ov vm start {record.words}")
        try:
            return target_of(record, factor=factor)
        except OvError:
            if record.ssh_port is not None or record.user is None or deadline.expired:
                raise
        deadline.pause(2.0)


def _ended(record: Record) -> str | None:
    now = status(record)
    return None if now.active else now.note or now.state.value


def _contact(record: Record, progress: Progress, factor: float, *, accept: bool) -> None:
    first_contact(record, progress, seconds=CONTACT_SECONDS * factor, accept=accept)


def _say(record: Record, stage: Stage, seconds: float, progress: Progress) -> None:
    progress.note(f"{record.words}: {stage.value} ({seconds:.0f} s)")

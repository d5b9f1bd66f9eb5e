"""``wait``: waits until the guest of an instance is ready."""

from __future__ import annotations

from ovtasks.errors import OvError
from ovtasks.guest.deadline import Deadline
from ovtasks.guest.notify import listening
from ovtasks.guest.readiness import Level, Ready, Wait
from ovtasks.guest.target import Target
from ovtasks.host.patience import shown
from ovtasks.host.progress import Progress
from ovtasks.instance.access import CONTACT_SECONDS, first_contact, target_of
from ovtasks.instance.ladder import RUNS, Ladder
from ovtasks.instance.record import Record
from ovtasks.instance.sshfs import await_mounted
from ovtasks.instance.status import emulated, status


def wait(
    record: Record,
    level: str,
    seconds: float,
    factor: float,
    progress: Progress,
    *,
    probe: str | None = None,
    accept: bool = False,
    folders: bool = False,
) -> Ready:
    """Wait up to ``seconds`` until the guest has reached ``level`` (``boot``, ``ssh``, ``cloud-init``). ``accept``:
    accept any host key. ``folders``: until it has mounted those of sshfs, too, as with level ``cloud-init``.

    :raises NotReadyError: it has not reached the level; the message says why.
    :raises OvError: it is not running, no user is known, or a folder is not mounted.
    """
    deadline = Deadline.after(seconds / factor, factor=factor)
    if (slowly := emulated(record)) is not None:
        progress.note(f"{record.words}: {slowly}")
    with shown(), listening(record.cid) as listener, Ladder(record, progress, seconds) as ladder:
        waiting = Wait(
            target=_find_target(record, deadline, factor, ladder),
            deadline=deadline,
            alive=lambda: _ended(record),
            serial=record.folder.serial_log,
            log_start=record.log_start,
            contact=lambda: _contact(record, ladder, factor, accept=accept),
            on_stage=lambda stage, after: ladder.reach(stage.value, after),
            listener=listener,
        )
        ready = waiting.until(Level(level), probe)
        if folders or Level(level) is Level.CLOUD_INIT:
            await_mounted(record, deadline, waiting.alive)
    for note in ready.notes:
        progress.note(f"{record.words}: {note}")
    return ready


def _find_target(record: Record, deadline: Deadline, factor: float, ladder: Ladder) -> Target:
    """The target for ssh. Waits until a guest with its own address has one.

    :raises OvError: the VM is not running, no user is known, or no address appears in time.
    """
    said = False
    while True:
        if (ended := _ended(record)) is not None:
            raise OvError(f"{record.words} is not running: {ended}", hint=f"ov vm start {record.words}")
        if not said:
            ladder.reach(RUNS, deadline.elapsed)
            said = True
        try:
            found = target_of(record, factor=factor)
            if record.ssh_port is None:
                ladder.reach(f"its address is {found.host}", deadline.elapsed)
            return found
        except OvError:
            if record.ssh_port is not None or record.user is None or deadline.expired:
                raise
        deadline.pause(2.0)


def _ended(record: Record) -> str | None:
    now = status(record)
    return None if now.active else now.note or now.state.value


def _contact(record: Record, progress: Progress, factor: float, *, accept: bool) -> None:
    first_contact(record, progress, seconds=CONTACT_SECONDS * factor, accept=accept)

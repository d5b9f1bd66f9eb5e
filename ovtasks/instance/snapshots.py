"""Snapshots of an instance's disk, which the user names: made, gone back to, and deleted.

A snapshot is a file that nobody writes to any more, as the states of :mod:`ovtasks.instance.overlays` are, and what
stands on it may branch. The list is written last when one is made, and first when one is deleted, so that a kill
leaves a chain that is too long, never one that is broken. The next verb with the VM off shortens it.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from uuid import uuid4

from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.instance.firmware_state import bring_firmware_back, keep_firmware
from ovtasks.instance.memory import go_on_from, keep_memory
from ovtasks.instance.overlays import hold, stand_on, tidy
from ovtasks.instance.power import reread
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import DiskSnapshot, save_snapshots, snapshots_of, stands_on_snapshot
from ovtasks.instance.standstill import frozen_files, has_agent, let_go_on, paused
from ovtasks.instance.status import known
from ovtasks.values.instance_name import RULE, is_instance_name


def create_snapshot(
    record: Record, name: str, description: str = "", *, quiesce: bool | None = None, memory: bool = False
) -> DiskSnapshot:
    """Make a snapshot of the disk as it is now. The VM may run, and goes on.

    ``quiesce``: the guest's agent freezes the file systems meanwhile; None: if there is an agent. ``memory``: keep
    what the guest has in memory, too; then nothing needs to be frozen.

    :raises InputError: the name is wrong or taken. :raises RefusedError: what is asked for needs a VM that runs.
    :raises OvError: the backend cannot do it, or the disk is full. There is no snapshot then.
    """
    if not is_instance_name(name):
        raise InputError(f"{name!r} is not a valid snapshot name", hint=RULE)
    with explaining(f"cannot make a snapshot of {record.words}", record.folder.path), record.folder.lock():
        record = reread(record)
        there = snapshots_of(record.folder)
        if any(one.name == name for one in there):
            raise InputError(
                f"{record.words} has a snapshot {name} already", hint=f"ov vm snapshot delete {_words(record, name)}"
            )
        let_go_on(record)
        file = _keep_all(record) if memory else _keep_disk(record, quiesce)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = DiskSnapshot(name, file, now, description, str(uuid4()), memory)
        save_snapshots(record.folder, (*there, made), name)
    return made


def _keep_disk(record: Record, quiesce: bool | None) -> str:
    with frozen_files(record) if _freezes(record, quiesce) else nullcontext():
        held = hold(record)
        keep_firmware(record, held.name)
    return held.name


def _keep_all(record: Record) -> str:
    """Keep the disk and the memory of the same moment; the guest does nothing meanwhile.

    :raises RefusedError: the VM does not run.
    """
    if not known(record).active:
        hint = f"ov vm start {record.words}; or leave out --memory"
        raise RefusedError(f"{record.words} is off, so it has nothing in memory", hint=hint)
    try:
        with paused(record):
            held = hold(record)
            keep_firmware(record, held.name)
            keep_memory(record, held.name)
    except OvError:
        with suppress(OvError):
            tidy(record)  # nobody needs the files that were made
        raise
    return held.name


def _freezes(record: Record, quiesce: bool | None) -> bool:
    """Whether the guest's file systems are frozen.

    :raises RefusedError: they must be, and cannot.
    """
    if quiesce is False or not known(record).active:
        return False  # a guest that is off has written everything
    if has_agent(record):
        return True
    if quiesce:
        hint = "qemu-guest-agent must run in the guest (cloud_init.packages: [qemu-guest-agent])"
        raise RefusedError(f"no guest agent answers in {record.words}, so its file systems cannot be frozen", hint=hint)
    return False


def named_snapshot(record: Record, name: str) -> DiskSnapshot:
    """The snapshot of this name.

    :raises InputError: there is none.
    """
    found = {one.name: one for one in snapshots_of(record.folder)}
    if name not in found:
        hint = f"there are: {', '.join(found)}" if found else f"ov vm snapshot create {_words(record, name)}"
        raise InputError(f"{record.words} has no snapshot {name}", hint=hint)
    return found[name]


def check_revert(record: Record, name: str) -> DiskSnapshot:
    """The snapshot, if the instance can go back to it now.

    :raises InputError: there is no such snapshot. :raises RefusedError: the VM runs.
    """
    snapshot = named_snapshot(record, name)
    if known(record).active:
        hint = f"ov vm stop {record.words}; --force powers it off and starts it afterwards"
        raise RefusedError(f"{record.words} is running", hint=hint)
    return snapshot


def revert_snapshot(record: Record, name: str, progress: Progress) -> None:
    """Make the disk, NVRAM and TPM what they were at the snapshot, and go on from its memory if it has that.

    Other snapshots stay. What was written since the last one is lost.

    :raises InputError: there is no such snapshot. :raises RefusedError: the VM runs.
    :raises OvError: the disk is full.
    """
    with explaining(f"cannot go back to {name} with {record.words}", record.folder.path), record.folder.lock():
        record = reread(record)
        snapshot = check_revert(record, name)
        let_go_on(record)
        stand_on(record, snapshot.file)
        bring_firmware_back(record, snapshot.file)
        save_snapshots(record.folder, snapshots_of(record.folder), name)
        tidy(record)
        if snapshot.memory:
            go_on_from(record, snapshot.file, progress)


def delete_snapshot(record: Record, name: str) -> bool:
    """Delete the snapshot; the disk and the other snapshots keep what they have.

    Returns whether its file has been merged or removed, too, also below a running VM. Otherwise the next verb of
    snapshots with the VM off does it.

    :raises InputError: there is no such snapshot. :raises OvError: the disk is full.
    """
    with explaining(f"cannot delete {name} of {record.words}", record.folder.path), record.folder.lock():
        record = reread(record)
        let_go_on(record)
        gone = named_snapshot(record, name)
        rest = [one for one in snapshots_of(record.folder) if one != gone]
        save_snapshots(record.folder, rest, stands_on_snapshot(record.folder))
        return tidy(record)


def _words(record: Record, name: str) -> str:
    return f"{record.vm} {name}" + (f" -i {record.instance}" if record.instance else "")

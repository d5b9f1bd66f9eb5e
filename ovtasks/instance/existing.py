"""Finds out whether a folder holds an instance, and returns its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.instance.folder import Folder, is_instance
from ovtasks.instance.record import DamagedRecordError, Record, load


@dataclass(frozen=True)
class Existing:
    """An instance that exists. ``problem`` says what was wrong with its record, None if nothing was."""

    record: Record
    problem: OvError | None = None


def existing(
    folder: Folder, vm: str | None = None, instance: str | None = None, project: Path | None = None
) -> Existing | None:
    """The instance in ``folder``; None if there is none. A lost or damaged record is rebuilt, and not written.

    ``vm``, ``instance`` and ``project`` are used where the folder's files do not tell.

    :raises OvError: the record is of a later version of this program, or lies behind an unsafe link; or it must be
        rebuilt, and a backend that may have the VM cannot be asked.
    """
    problem: OvError | None = None
    try:
        record = load(folder)
    except DamagedRecordError as e:
        record, problem = None, e
    if not is_instance(folder.path):
        return None
    if record is not None:
        return Existing(record)
    from ovtasks.instance.recover import rebuild

    found = rebuild(folder, vm, instance, project)
    hint = f"`ov vm create {found.words}` makes it again from the rest"
    return Existing(found, problem or OvError(f"{folder.record} is missing", hint=hint))

"""``snapshots:`` of a VM's entry: made once, when the guest is first ready after they were declared."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import made_as_declared, mark_declared, snapshots_of
from ovtasks.instance.snapshots import create_snapshot
from ovtasks.project.model import Snapshot


def make_declared(record: Record, declared: Sequence[Snapshot], progress: Progress) -> None:
    """Make the snapshots of this instance that were never made. One that the user has deleted stays deleted.

    :raises OvError: one cannot be made.
    """
    done = made_as_declared(record.folder) if declared else frozenset()
    for one in declared:
        if one.name in done:
            continue
        if all(one.name != other.name for other in snapshots_of(record.folder)):
            create_snapshot(record, one.name, one.description or "", quiesce=one.quiesce, memory=one.mode == "internal")
            progress.note(f"{record.words}: snapshot {one.name} made, as vms.yml says")
        with explaining(f"cannot note the snapshot {one.name}", record.folder.path), record.folder.lock():
            mark_declared(record.folder, one.name)

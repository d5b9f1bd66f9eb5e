"""``ov vm clone``: an entry of ``vms.yml`` for a clone, and the snapshot that it begins with."""

from __future__ import annotations

from dataclasses import dataclass

from ovtasks.errors import InputError
from ovtasks.host.progress import Progress
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import snapshots_of
from ovtasks.instance.snapshots import create_snapshot
from ovtasks.project.model import CloneSource, Project
from ovtasks.sources.new_entry import check_entry, entry_text, write_entry
from ovtasks.values.jsonvalue import Json

OWN_SNAPSHOT = "for-"
"""Begins the name of a snapshot that is made for a clone alone."""


@dataclass(frozen=True)
class CloneWish:
    """The VM ``name`` is to be a clone of ``from_vm`` (``VM`` or ``VM/INSTANCE``) at ``snapshot``; None: as it is now.
    ``clean``: its cloud-init begins anew."""

    name: str
    from_vm: str
    snapshot: str | None = None
    clean: bool = False

    @property
    def snapshot_name(self) -> str:
        """The snapshot's name, also of one that has yet to be made."""
        return self.snapshot or f"{OWN_SNAPSHOT}{self.name}"

    @property
    def entry(self) -> str:
        """The lines of the entry in ``vms.yml``."""
        source: dict[str, Json] = {"kind": "clone", "from_vm": self.from_vm, "from_snapshot": self.snapshot_name}
        if self.clean:
            source["cloud_init_clean"] = True
        return entry_text(self.name, {"source": source})


def is_declared(wish: CloneWish, project: Project) -> bool:
    """Whether the clone has its entry already.

    :raises InputError: another VM has the name.
    """
    known = project.vms.get(wish.name)
    if known is None:
        return False
    source = known.source
    if isinstance(source, CloneSource) and (source.from_vm, source.from_snapshot, source.cloud_init_clean) == (
        wish.from_vm,
        wish.snapshot_name,
        wish.clean,
    ):
        return True
    raise InputError(f"there is a VM '{wish.name}' already", hint="choose another name", where=known.where)


def declare_clone(wish: CloneWish, record: Record, project: Project, progress: Progress) -> None:
    """Write the entry. First comes the snapshot, if none is named: so a killed run only has to be repeated.

    The caller holds the project's lock (:func:`ovtasks.sources.new_entry.declaring`). ``record`` is of the VM that the
    clone begins with.

    :raises InputError: that VM has no such snapshot, or the name is no VM's.
    :raises OvError: the snapshot cannot be made, or ``vms.yml`` cannot be written.
    """
    names = [one.name for one in snapshots_of(record.folder)]
    if wish.snapshot is not None and wish.snapshot not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        hint = f"{known}; without @{wish.snapshot} the clone begins with the disk as it is now"
        raise InputError(f"{record.words} has no snapshot {wish.snapshot}", hint=hint)
    check_entry(project, wish.entry, "ov vm clone NAME --from VM[@SNAP]")
    if wish.snapshot_name not in names:
        create_snapshot(record, wish.snapshot_name, f"for the clone {wish.name}")
        progress.note(f"{record.words}: snapshot {wish.snapshot_name} made")
    write_entry(project.root, wish.entry)

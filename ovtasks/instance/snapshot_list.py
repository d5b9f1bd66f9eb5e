"""``snapshots.json``: the snapshots that the user made of an instance's disk, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.state import StateError, load_state
from ovtasks.instance.folder import Folder
from ovtasks.values.jsonvalue import plain, restore, state_text

FILE = "snapshots.json"
VERSION = 1


@dataclass(frozen=True)
class DiskSnapshot:
    """``file`` lies beside the disk, and nobody writes to it; ``created`` is ISO 8601, UTC.

    ``id`` is like that of no other snapshot. Those of earlier versions have none. ``memory`` says that what the guest
    had in memory is kept, too.
    """

    name: str
    file: str
    created: str
    description: str = ""
    id: str = ""
    memory: bool = False

    @property
    def identity(self) -> str:
        """What tells it from another one that has its name later."""
        return self.id or f"{self.created} {self.file}"


@dataclass(frozen=True)
class _Listed:
    """``declared`` are the names of vms.yml whose snapshots were made, also of those that are deleted since."""

    snapshots: tuple[DiskSnapshot, ...] = ()
    on: str | None = None
    version: int = VERSION
    declared: tuple[str, ...] = ()


def snapshots_of(folder: Folder) -> tuple[DiskSnapshot, ...]:
    """The snapshots that there are, the oldest first.

    :raises OvError: the list is damaged, or of a later version.
    """
    return _load(folder).snapshots


def stands_on_snapshot(folder: Folder) -> str | None:
    """The name of the snapshot that was made or gone back to last; None if there is none."""
    return _load(folder).on


def save_snapshots(folder: Folder, snapshots: Sequence[DiskSnapshot], on: str | None) -> None:
    """Write the list; ``on`` is the snapshot that the disk stands on."""
    on = on if on in {one.name for one in snapshots} else None
    _save(folder, _Listed(tuple(snapshots), on, declared=_load(folder).declared))


def made_as_declared(folder: Folder) -> frozenset[str]:
    """The names of vms.yml whose snapshots were made."""
    return frozenset(_load(folder).declared)


def mark_declared(folder: Folder, name: str) -> None:
    """Note that a snapshot was made as vms.yml says. The caller holds the lock."""
    found = _load(folder)
    _save(folder, replace(found, declared=(*found.declared, name)))


def _save(folder: Folder, listed: _Listed) -> None:
    write_atomic(folder.path / FILE, state_text(plain(listed), lines=True), mode=0o600)


def _load(folder: Folder) -> _Listed:
    path = folder.path / FILE
    hint = f"restore {path} from a backup: without it nobody knows which files are snapshots"
    try:
        data = load_state(path)
        found = restore(_Listed, data) if data is not None else _Listed()
    except (StateError, ValueError, TypeError) as e:
        raise OvError(f"{path} is damaged: {e}", hint=hint) from e
    if found.version != VERSION:
        raise OvError(f"{path} has version {found.version}; this ov knows {VERSION}", hint="use a newer ov")
    return found

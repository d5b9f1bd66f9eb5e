"""Finds existing instances by the names that a user gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.paths import DOMAIN_PREFIX, data_home, instance_directory
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record, domain_of


def find(vm: str, instance: str | None = None, *, declared: Collection[str] = ()) -> Record:
    """The instance called ``vm`` (and ``-i instance``); ``declared`` are the VMs of the current project.

    :raises InputError: it does not exist; the hint has similar names.
    """
    record = find_or_none(vm, instance)
    if record is not None:
        return record
    from ovtasks.values.words import close_to, meant

    words = f"{vm} -i {instance}" if instance else vm
    if vm in declared:
        raise InputError(f"{words} is not created yet", hint=f"ov vm create {words}")
    others = {other.words: other for other in every()}
    near = close_to(words, [*others, *declared], cutoff=0.5)
    same = [name for name, other in others.items() if other.vm == vm]
    hint = meant(list(dict.fromkeys([*same, *near]))[:5])
    if hint is None:
        hint = f"there are: {', '.join(list(others)[:8])}" if others else "ov vm create makes one; ov vm list shows all"
    raise InputError(f"there is no VM {words}", hint=hint)


def find_or_none(vm: str, instance: str | None = None) -> Record | None:
    """The instance's record, or None. A lost or damaged record is rebuilt, and not written.

    :raises OvError: as :func:`ovtasks.instance.existing.existing`.
    """
    found = existing(Folder(instance_directory(domain_of(vm, instance))), vm, instance)
    # the folder ov-a-b may belong to instance b of VM a; then VM a-b does not exist
    return found.record if found and (found.record.vm, found.record.instance) == (vm, instance) else None


def every(damaged: list[OvError] | None = None) -> Iterator[Record]:
    """All instances of this user, sorted by name. Problems with their records are appended to ``damaged``."""
    for path in folders():
        try:
            found = existing(Folder(path))
        except OvError as e:
            if damaged is not None:
                damaged.append(e)
            continue
        if found is not None:
            if found.problem is not None and damaged is not None:
                damaged.append(found.problem)
            yield found.record


def folders() -> list[Path]:
    """All folders with the name of an instance, sorted."""
    place = data_home() / "vm"
    try:
        return sorted(path for path in place.iterdir() if path.name.startswith(DOMAIN_PREFIX) and path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []

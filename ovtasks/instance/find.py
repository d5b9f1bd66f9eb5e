"""Existing instances, by what a user calls them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from ovtasks.errors import InputError, OvError
from ovtasks.host.paths import data_home, instance_directory
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record, domain_of, load


def find(vm: str, instance: str | None = None, *, declared: Collection[str] = ()) -> Record:
    """The instance called ``vm`` (and ``-i instance``); ``declared`` are the VMs of the project at hand.

    :raises InputError: it does not exist; near names are told.
    """
    record = look(vm, instance)
    if record is not None:
        return record
    words = f"{vm} -i {instance}" if instance else vm
    if vm in declared:
        raise InputError(f"{words} is not created yet", hint=f"ov vm create {words}")
    others = {other.words: other for other in every()}
    near = difflib.get_close_matches(words, [*others, *declared], n=3, cutoff=0.5)
    same = [name for name, other in others.items() if other.vm == vm]
    if guesses := list(dict.fromkeys([*same, *near]))[:5]:
        hint = "did you mean " + " or ".join(f"'{guess}'" for guess in guesses) + "?"
    else:
        hint = f"there are: {', '.join(list(others)[:8])}" if others else "ov vm create makes one; ov vm list shows all"
    raise InputError(f"there is no VM {words}", hint=hint)


def look(vm: str, instance: str | None = None) -> Record | None:
    """The instance's record, or None.

    :raises OvError: the record is damaged.
    """
    record = load(Folder(instance_directory(domain_of(vm, instance))))
    # the folder ov-a-b may be instance b of a: then a VM a-b does not exist
    return record if record and (record.vm, record.instance) == (vm, instance) else None


def every(damaged: list[OvError] | None = None) -> Iterator[Record]:
    """All instances of this user, by name; damaged ones are left out and told in ``damaged``."""
    place = data_home() / "vm"
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        try:
            record = load(Folder(path))
        except OvError as e:
            if damaged is not None:
                damaged.append(e)
            continue
        if record is not None:
            yield record

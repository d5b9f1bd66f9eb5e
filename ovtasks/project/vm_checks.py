"""The checks of a VM's entry, each with its place. The file is read again, because a VM's spec keeps no places."""

from __future__ import annotations

from ovtasks.errors import InputErrors
from ovtasks.project.layer_model import LayerCheck
from ovtasks.project.layer_parts import checks, checks_without_place
from ovtasks.project.locate import entry_of
from ovtasks.project.model import VmSpec

LISTS = ("eval", "deploy_eval")


def vm_checks(vm: VmSpec) -> tuple[LayerCheck, ...]:
    """The checks of ``eval`` and ``deploy_eval``.

    :raises InputErrors: one is about nothing, or about several things.
    """
    found: list[LayerCheck] = []
    errors = []
    entry = entry_of(vm)
    for key in LISTS:
        written = getattr(vm, key)
        data = entry.value(key) if entry is not None else None
        if entry is None or not isinstance(data, list) or len(data) != len(written):  # it was edited meanwhile
            found += checks_without_place(written, vm.where)
            continue
        some, wrong = checks(written, entry.document, (*entry.path, key))
        found += some
        errors += wrong
    if errors:
        raise InputErrors(errors)
    return tuple(found)

"""What a clone has from the VM that it begins with, as far as its own entry does not say: the same machine, the same
account, the same way to log in."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ovtasks.project.build import default_firmware
from ovtasks.project.declared import DeclaredVm

FIELDS = (
    *(("ram",), ("cpus",), ("machine",), ("firmware",)),
    *(("ssh", "user"), ("ssh", "key_source"), ("ssh", "host_key")),
    *(("source", "base_user"), ("source", "distro"), ("source", "bootstrap_arch")),
)


def parent_of(vm: DeclaredVm) -> str | None:
    """The name of the VM that a clone begins with; None: it is not a clone."""
    written = vm.text("source", "from_vm") if vm.get("source", "kind") == "clone" else None
    return written.partition("/")[0] if written else None


def ancestors(vm: DeclaredVm, vms: Mapping[str, DeclaredVm]) -> Iterator[DeclaredVm]:
    """The VM that a clone begins with, the one that this begins with, and so on; in a circle each of them once."""
    seen, name = {vm.name}, parent_of(vm)
    while name is not None and name in vms and name not in seen:
        seen.add(name)
        yield vms[name]
        name = parent_of(vms[name])


def completed(vms: Iterable[DeclaredVm]) -> list[DeclaredVm]:
    """The VMs, clones with what they have from others."""
    known = {vm.name: vm for vm in vms}
    return [replace(vm, data=_completed(vm, known)) if parent_of(vm) else vm for vm in known.values()]


def _completed(vm: DeclaredVm, known: Mapping[str, DeclaredVm]) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(vm.data)
    for one in ancestors(vm, known):
        for path in FIELDS:
            if (value := _value(one, path)) is not None:
                block = data.setdefault(path[0], {}) if len(path) > 1 else data
                block.setdefault(path[-1], value)
    return data


def _value(vm: DeclaredVm, path: tuple[str, ...]) -> Any:
    """The value there, or the default that depends on the VM's source."""
    value, kind = vm.get(*path), vm.get("source", "kind")
    if value is None and path == ("firmware",) and kind != "clone":
        return default_firmware(vm.mapping())
    if value is None and path == ("ssh", "user") and kind == "bootc":
        return vm.text("source", "base_user") or "root"
    return value

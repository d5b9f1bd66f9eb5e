"""Deployments that begin with a snapshot: each of them makes a VM of its own, a clone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ovtasks.errors import InputError
from ovtasks.project.declared import Declared, DeclaredVm
from ovtasks.project.deploy_model import PREFIX, SUFFIX


def begins_with_snapshot(entry: Declared) -> bool:
    """Whether the entry says ``from: VM:SNAPSHOT`` or ``from_snapshot``."""
    return entry.get("from") is not None or entry.get("from_snapshot") is not None


def clone_name(entry: Declared) -> str:
    """The name of the entry's own VM: the entry's, as a VM may be called (``vm:web/dev`` → ``web-dev``)."""
    return entry.name.removeprefix(PREFIX).removesuffix(SUFFIX).replace("/", "-")


def clones(entries: Iterable[Declared], vms: Mapping[str, DeclaredVm], errors: list[InputError]) -> list[DeclaredVm]:
    """The VMs of those entries that begin with a snapshot; what is wrong with them is added to ``errors``."""
    found = []
    for entry in filter(begins_with_snapshot, entries):
        try:
            found.append(_clone(entry, vms))
        except InputError as e:
            errors.append(e)
    return found


def _clone(entry: Declared, vms: Mapping[str, DeclaredVm]) -> DeclaredVm:
    name, (vm, snapshot) = clone_name(entry), _origin(entry)
    if name in vms:
        message = f"a deployment that begins with a snapshot makes a VM, and '{name}' is declared already"
        hint = f"rename the deployment; the VM stands at {vms[name].where(key=True)}"
        raise entry.error(message, key=True, hint=hint)
    source = {"kind": "clone", "from_vm": vm, "from_snapshot": snapshot}
    if (clean := entry.get("cloud_init_clean")) is not None:
        source["cloud_init_clean"] = clean
    return DeclaredVm(name, {"source": source}, entry.document, entry.path, entry.file)


def _origin(entry: Declared) -> tuple[str, str]:
    """The VM and the snapshot that it begins with."""
    written, snapshot, vm = entry.text("from"), entry.text("from_snapshot"), entry.text("vm")
    if written is not None:
        origin, _, named = written.partition(":")
        for key, other in (("from_snapshot", snapshot), ("vm", vm)):
            if other not in {None, named if key == "from_snapshot" else origin}:
                raise entry.error(f"{key} {other} contradicts from: {written}", key, hint="keep one of the two")
        return origin, named
    own = entry.name.removeprefix(PREFIX).partition("/")[0]
    if vm is None and not entry.name.startswith(PREFIX):
        hint = f"vm: names the VM whose snapshot it is; or from: VM:{snapshot}"
        raise entry.error("from_snapshot does not say of which VM", "from_snapshot", hint=hint)
    return vm or own, str(snapshot)

"""Records who owns an instance's folder: VM ``a-b`` and instance ``b`` of VM ``a`` would share the name ``ov-a-b``.

``owner.json`` also repeats the lasting fields of the record, so that a lost record can be rebuilt.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from ovtasks.errors import OvError, RefusedError
from ovtasks.host.files import write_changed
from ovtasks.host.state import StateError, load_state
from ovtasks.instance.folder import Folder, is_leftover
from ovtasks.values.jsonvalue import Json, state_text

OWNER_FILE = "owner.json"


def claim(directory: Path, vm: str, instance: str | None = None, *, locked: bool = False) -> None:
    """Note that ``directory`` belongs to ``vm`` (its default instance, or ``instance``).

    The remains of a failed create belong to nobody, and are removed. ``locked``: the caller holds the instance's lock.

    :raises RefusedError: it belongs to another VM or instance; the message names both.
    :raises OvError: the owner is unknown, because the files that tell it are damaged.
    """
    mine: dict[str, Json] = {"vm": vm, "instance": instance}
    owner = read_owner(directory)
    if owner is None or (owner.get("vm"), owner.get("instance")) == (vm, instance):
        if not (directory / OWNER_FILE).is_file():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_owner(directory, mine)
        return
    if is_leftover(directory):
        with contextlib.nullcontext() if locked else Folder(directory).lock():
            if is_leftover(directory):  # else a create has filled it meanwhile
                shutil.rmtree(directory)
                directory.mkdir(mode=0o700)
                write_owner(directory, mine)
                return
    raise RefusedError(
        f"the name {directory.name} belongs to {_name(owner)}, so {_name(mine)} cannot have it",
        hint=f"rename one of them, or destroy the other first; its files are in {directory}",
    )


def read_owner(directory: Path) -> Mapping[str, Json] | None:
    """The content of ``owner.json``, or the VM and instance that other files name; None if no such file is there.

    :raises OvError: every such file is damaged.
    """
    damaged: OvError | None = None
    for path in (directory / OWNER_FILE, directory / "instance.json", directory / "machine.json"):
        try:
            owner = load_state(path)
        except StateError as e:
            damaged = damaged or e
            continue
        if owner is not None and isinstance(owner.get("vm"), str):
            return owner if path.name == OWNER_FILE else {"vm": owner["vm"], "instance": owner.get("instance")}
        if owner is not None:
            damaged = damaged or StateError(path, "is damaged: it names no VM")
    if damaged is not None:
        raise damaged
    return None


def write_owner(directory: Path, data: Mapping[str, Json]) -> None:
    """Write ``owner.json``, unless it has this content already."""
    write_changed(directory / OWNER_FILE, state_text(data), mode=0o600)


def _name(owner: Mapping[str, Json]) -> str:
    vm, instance = owner.get("vm"), owner.get("instance")
    return f"instance {instance} of VM {vm}" if instance else f"VM {vm}"

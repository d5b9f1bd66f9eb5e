"""Whose an instance directory is: a VM ``a-b`` and an instance ``b`` of ``a`` would share the name ``ov-a-b``."""

from __future__ import annotations

import json
from pathlib import Path

from ovtasks.errors import OvError, RefusedError
from ovtasks.host.files import write_atomic

OWNER_FILE = "owner.json"


def claim(directory: Path, vm: str, instance: str | None = None) -> None:
    """Note that ``directory`` belongs to ``vm`` (its default instance, or ``instance``), unless somebody has it.

    :raises RefusedError: it belongs to another VM or instance; both are named.
    """
    path = directory / OWNER_FILE
    mine = {"vm": vm, "instance": instance}
    try:
        owner = json.loads(path.read_bytes())
    except FileNotFoundError:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, json.dumps(mine) + "\n", mode=0o600)
        return
    except ValueError as e:
        raise OvError(
            f"{path} is damaged", hint="it says whose this folder is; look at the folder, then remove it"
        ) from e
    if owner != mine:
        raise RefusedError(
            f"the name {directory.name} belongs to {_name(owner)}, so {_name(mine)} cannot have it",
            hint=f"rename one of them, or destroy the other first; its files are in {directory}",
        )


def _name(owner: dict[str, str | None]) -> str:
    vm, instance = owner.get("vm"), owner.get("instance")
    return f"instance {instance} of VM {vm}" if instance else f"VM {vm}"

"""Whose entry a place in a file is part of."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.project.declared import IMAGE
from ovtasks.project.deploy_entry import OWNER
from ovtasks.project.file_names import is_single
from ovtasks.values.document import Key
from ovtasks.values.jsonvalue import Json

_SECTIONS = {"vms": "", "vm": "", "images": IMAGE, "image": IMAGE, "deploy": OWNER, "deployments": OWNER}


def owner_at(path: Sequence[Key], data: Json) -> str | None:
    """The owner, as errors name it, of the entry at or around ``path``; None: it is the whole file's."""
    if not path or path[0] not in _SECTIONS or not isinstance(data, dict):
        return None
    section, *below = path
    part = data.get(str(section))
    if isinstance(part, dict) and is_single(str(section), part):
        return f"{_SECTIONS[str(section)]}{part['name']}"
    if below[:1] == ["images"] and section == "deployments":
        del below[0]
    return f"{_SECTIONS[str(section)]}{below[0]}" if below and isinstance(below[0], str) else None

"""``mounts:``: folders of the host that a VM sees, one a line: ``./src:/src`` or ``./src:/src:ro``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.project.expand import expand, expand_path, variables
from ovtasks.values.mount import Mount

MODES = {"ro": True, "rw": False}
"""What may stand behind the second colon, and whether the guest only reads."""
FORM = "./src:/src, or ./src:/src:ro; a colon in a path is written \\:"
_BAD = re.compile(r"[\x00-\x1f\x7f]")


def written_parts(text: str) -> dict[str, Any]:
    """The fields that a line such as ``./src:/src:ro`` stands for.

    :raises InputError: it is no such line.
    """
    parts = _split(text)
    if len(parts) not in {2, 3} or not all(parts) or (len(parts) == 3 and parts[2] not in MODES):
        raise InputError(f"'{text}' is not a mount", hint=FORM)
    fields: dict[str, Any] = {"source": parts[0], "target": parts[1]}
    return fields if len(parts) == 2 else {**fields, "read_only": MODES[parts[2]]}


def _split(text: str) -> list[str]:
    """The parts between colons; a backslash takes the next character as it is."""
    parts, plain = [""], False
    for char in text:
        if char == ":" and not plain:
            parts.append("")
        elif char != "\\" or plain:
            parts[-1] += char
        plain = char == "\\" and not plain
    return parts


def mount_of(item: Any, base: Path) -> Mount:
    """The mount that an item of the list means in a file of folder ``base``.

    :raises InputError: it is none, or an environment variable in its path is not set.
    """
    fields = written_parts(item) if isinstance(item, str) else item
    if problem := _problem(fields):
        raise InputError(problem, hint=FORM)
    return Mount(**{**fields, "source": expand_path(fields["source"], base)})


def line_of(mount: Mount) -> str:
    """The line that means the same anywhere."""
    source, target = (re.sub(r"([\\:])", r"\\\1", str(path)) for path in (mount.source, mount.target))
    return f"{source}:{target}{':ro' if mount.read_only else ''}"


def used_variables(vm: DeclaredVm) -> set[str]:
    """The environment variables in the paths."""
    found: set[str] = set()
    for item in vm.list("mounts"):
        try:
            fields = written_parts(item) if isinstance(item, str) else item
        except InputError:
            continue
        found |= {*variables(str(fields.get("source", "")))} if isinstance(fields, dict) else set()
    return found


def rebased(items: Any, folder: Path) -> Any:
    """The list, as it means the same in files of other folders than ``folder``."""
    return [_absolute(item, folder) for item in items] if isinstance(items, list) else items


def _absolute(item: Any, folder: Path) -> Any:
    try:
        fields = written_parts(item) if isinstance(item, str) else item
    except InputError:
        return item
    source = fields.get("source") if isinstance(fields, dict) else None
    if not isinstance(source, str) or source.startswith(("/", "~", "$")):
        return item
    return {**fields, "source": str(expand_path(source, folder))}


def mount_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Each item is a mount, each place in the guest has one, and none hides the guest's own system."""
    seen: dict[str, int] = {}
    for number, item in enumerate(vm.list("mounts")):
        if isinstance(item, str):
            try:
                fields = written_parts(item)
            except InputError as e:
                yield vm.error(e.message, "mounts", number, hint=e.hint)
                continue
        elif isinstance(item, dict) and all(isinstance(item.get(key), str) for key in ("source", "target")):
            fields = item
        else:
            continue  # the schema has said so
        if problem := _problem(fields):
            yield vm.error(problem, "mounts", number, hint=FORM)
            continue
        try:
            expand(fields["source"])
        except InputError as e:
            yield vm.error(f"mounts: {e.message}", "mounts", number, hint=e.hint)
        target = fields["target"].rstrip("/")
        if target in seen:
            first = vm.where("mounts", seen[target])
            yield vm.error(f"mounts: {target} appears twice", "mounts", number, hint=f"first at {first}")
        seen.setdefault(target, number)


def _problem(fields: dict[str, Any]) -> str | None:
    source, target = fields["source"], fields["target"]
    if not source or _BAD.search(source + target):
        return "a path of mounts has no line breaks or other control characters, and is not empty"
    if not target.startswith("/"):
        return f"the guest's folder '{target}' is not absolute"
    steps = [step for step in target.split("/") if step]
    if ".." in steps or "." in steps:
        return f"the guest's folder '{target}' has . or .. in it"
    if not steps or (len(steps) == 1 and steps[0] in {"bin", "dev", "etc", "lib", "proc", "run", "sbin", "sys", "usr"}):
        return f"a mount at '{target}' would hide the guest's own system"
    return None

"""Writes entries of ``deploy.yml``: comments, order and layout stay, and what nobody asked to change stays as it is.

ruamel.yaml writes the changed entry; its lines then take the place of the old ones. The rest of the file is not
touched, not even where ruamel.yaml would lay it out in another way.
"""

from __future__ import annotations

import copy
import io
import os
import stat
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.errors import OvError, Where
from ovtasks.host.files import flock, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.yamlfile import load_to_edit
from ovtasks.project.entry_lines import ROOTS, Indents, indents, spliced
from ovtasks.project.file_names import DEPLOY
from ovtasks.project.names import renamed
from ovtasks.project.places import display
from ovtasks.values.yamlio import parse_yaml

ROOT = "deploy"
WIDTH = 1 << 16
"""No line is broken because it is long."""


@dataclass(frozen=True)
class EntryChange:
    """What becomes of an entry. ``layers``: all of its ``add_layers`` from now on. None: as it is."""

    layers: tuple[str, ...] | None = None
    disposable: bool | None = None
    lifecycle: str | None = None


def change_entry(file: Path, name: str, change: EntryChange, lock: Path, waiting: Callable[[str], None]) -> bool:
    """Change the entry ``name`` in ``file``, or make it; returns whether anything had to be written.

    ``lock`` is the file that writers of this project lock. ``waiting`` is told who holds it.

    :raises InputError: the file is no YAML. :raises OvError: it cannot be written without changing something else.
    """

    def edit(entries: MutableMapping[str, Any]) -> None:
        entry = entries.get(name)
        if entry is None:
            entry = entries[name] = {}
        for key, value in (("disposable", change.disposable), ("lifecycle", change.lifecycle)):
            if value is not None:
                entry[key] = value
        if change.layers is not None:
            spelled = "add_layer" if "add_layer" in entry else "add_layers"
            _change_list(entry, spelled, list(change.layers))

    return _edit(file, name, edit, lock, waiting)


def remove_entry(file: Path, name: str, lock: Path, waiting: Callable[[str], None]) -> bool:
    """Remove the entry ``name`` from ``file``; returns whether it was there.

    :raises InputError, OvError: as :func:`change_entry`.
    """

    def edit(entries: MutableMapping[str, Any]) -> None:
        entries.pop(name, None)

    return _edit(file, name, edit, lock, waiting)


def _change_list(entry: MutableMapping[str, Any], key: str, wanted: list[str]) -> None:
    """Make a list hold ``wanted``, by the smallest change: what stays keeps its comments."""
    have = entry.get(key)
    if not isinstance(have, list):
        if wanted or have is not None:
            entry[key] = wanted
        return
    for index in reversed(range(len(have))):
        if have[index] not in wanted:
            del have[index]
    for word in wanted:
        if word not in have:
            have.append(word)


def _edit(
    file: Path,
    name: str,
    edit: Callable[[MutableMapping[str, Any]], None],
    lock: Path,
    waiting: Callable[[str], None],
) -> bool:
    file = Path(os.path.realpath(file))  # the user may keep the file elsewhere
    with explaining(f"cannot write {display(file)}", file), flock(lock, waiting=waiting):
        found = file.read_bytes() if file.exists() else b""
        before = found.replace(b"\r\n", b"\n")
        old = _entries(before, file)
        whole = _written(before, name, edit, file)
        new = _entries(whole, file)
        if new == old:
            return False
        after = spliced(before, whole, name) or whole
        if _entries(after, file) != new or not _is_only(edit, name, old, new):
            hint = f"edit it by hand: the entry is {name}"
            raise OvError("the file would change in other places, too", hint=hint, where=Where(display(file)))
        mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o644
        write_atomic(file, after.replace(b"\n", b"\r\n") if b"\r\n" in found else after, mode=mode)
        return True


def _is_only(
    edit: Callable[[MutableMapping[str, Any]], None],
    name: str,
    old: dict[tuple[int, str], Any],
    new: dict[tuple[int, str], Any],
) -> bool:
    """Whether ``edit`` is all that changed."""
    others = [{key: value for key, value in one.items() if key[1] != name} for one in (old, new)]
    before, after = ({key[1]: value for key, value in one.items() if key[1] == name} for one in (old, new))
    wanted = copy.deepcopy(before)
    edit(wanted)
    return others[0] == others[1] and wanted == after


def _entries(data: bytes, file: Path) -> dict[tuple[int, str], Any]:
    """Everything in the file: by document, and by entry for deployments."""
    found: dict[tuple[int, str], Any] = {}
    for number, document in enumerate(parse_yaml(data, display(file))):
        content = renamed(document, DEPLOY)[0].data
        if not isinstance(content, dict):
            found[number, ""] = content
            continue
        found[number, ""] = {key: value for key, value in content.items() if key not in ROOTS}
        for root in ROOTS:
            part = content.get(root)
            part = {**part} if isinstance(part, dict) else {}
            below = part.pop("images", None) if root != ROOT else None
            part |= below if isinstance(below, dict) else {}
            found |= {(number, key): value for key, value in part.items()}
    return {key: value for key, value in found.items() if key[1] or value}


def _written(before: bytes, name: str, edit: Callable[[MutableMapping[str, Any]], None], file: Path) -> bytes:
    """The file as ruamel.yaml writes it after the change."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    text, comments = before.decode(), ""
    layout = indents(before) if text.strip() else Indents()
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=layout.mapping, sequence=layout.sequence + 2, offset=layout.sequence)
    loaded = load_to_edit(yaml, text, display(file), f"the entry is {name}") if text.strip() else []
    if all(one is None for one in loaded):  # comments alone, which ruamel.yaml drops
        loaded, comments = [], text
    documents = [CommentedMap() if one is None else one for one in loaded] or [CommentedMap()]
    edit(_place(documents, name))
    written = io.StringIO()
    yaml.dump_all(documents, written)
    return (comments + ("\n" if comments and not comments.endswith("\n") else "") + written.getvalue()).encode()


def _place(documents: list[Any], name: str) -> MutableMapping[str, Any]:
    """The mapping that has the entry ``name``, or that a new entry belongs in."""
    for document in documents:
        for root in ROOTS:
            found = document.get(root)
            below = found.get("images") if root != ROOT and isinstance(found, dict) else None
            for part in (found, below):
                if isinstance(part, dict) and name in part:
                    return part
    first = next((one for one in documents if isinstance(one.get(ROOT), dict)), documents[0])
    if not isinstance(first.get(ROOT), dict):
        first[ROOT] = {}
    place: MutableMapping[str, Any] = first[ROOT]
    return place

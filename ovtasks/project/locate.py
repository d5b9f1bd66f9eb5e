"""Finds where a VM's value stands in its file, for errors that appear long after the file was read.

A renderer knows no files: it raises ``InputError(…, field=("libvirt", "devices", "video", 0, "model"))``. A caller that
has the :class:`VmSpec` writes ``with located(vm): …`` around the call, and the error gets file, line and column. For
that the file is read again, so only errors pay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.declared import DeclaredVm
from ovtasks.project.heritage import heir
from ovtasks.project.model import VmSpec
from ovtasks.project.places import DEFAULTS
from ovtasks.values.jsonvalue import Json
from ovtasks.values.yamlio import Document


@contextlib.contextmanager
def located(vm: VmSpec) -> Iterator[None]:
    """Give input errors from the block that name a field of ``vm`` their place in the file."""
    try:
        yield
    except InputErrors as e:
        for one in e.errors:
            _place(one, vm)
        raise InputErrors(e.errors) from None  # its text names the places
    except InputError as e:
        _place(e, vm)
        raise


def locate(vm: VmSpec, field: Sequence[str | int], at: tuple[int, int] | None = None) -> Where:
    """The place of the value at ``field`` (or of line and column ``at`` in its text).

    If there is no such value: the place of the nearest thing around it; if the file cannot be read any more: of the
    VM's name.
    """
    entry = entry_of(vm)
    return vm.where if entry is None else entry.document.where(*entry.path, *field, at=at)


@dataclass(frozen=True)
class VmEntry:
    """Where a VM's entry stands: the document, under our names, and the path in it."""

    document: Document
    path: tuple[str, ...]

    def value(self, key: str) -> Json:
        """The value of ``key`` in the entry; None if it is not there."""
        data: Json = self.document.data
        for step in (*self.path, key):
            data = data.get(step) if isinstance(data, Mapping) else None
        return data


def entry_of(vm: VmSpec) -> VmEntry | None:
    """The entry of ``vm`` with all that it inherits, read again; None if a file cannot be read any more, or has it
    elsewhere."""
    own, *below = (_declared(where) for where in (vm.where, *vm.bases))
    if own is None or None in below:
        return None
    if bases := [one for one in below if one is not None]:
        own = heir(own, bases)
    return VmEntry(own.document, tuple(map(str, own.path)))


def inherited(vm: VmSpec) -> dict[str, str]:
    """The fields of ``vm`` that stand in another entry, each with that entry's name and place."""
    entry = entry_of(vm) if vm.bases else None
    found: dict[str, str] = {}
    for path in _leaves(vm.declared) if entry is not None else ():
        if entry is not None and (origin := entry.document.origin(*entry.path, *path)) is not None:
            found[".".join(path)] = f"{origin.entry}, {entry.document.where(*entry.path, *path, key=True)}"
    return found


def _leaves(value: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of what is not a mapping."""
    if not isinstance(value, Mapping) or not value:
        yield path
        return
    for key, item in value.items():
        yield from _leaves(item, (*path, key))


def _declared(where: Where) -> DeclaredVm | None:
    """The entry whose key stands there."""
    from ovtasks.host.yamlfile import read_yaml
    from ovtasks.project.file_names import is_single, with_our_names

    try:
        documents = read_yaml(Path(where.file), where.file)
    except (InputError, OSError):
        return None
    for document, _ in map(with_our_names, documents):
        data = document.data if isinstance(document.data, dict) else {}
        groups = [(key, data[key]) for key in ("vm", "vms") if isinstance(data.get(key), dict)]
        paths = [(DEFAULTS,), ("vm",), *((key, name) for key, group in groups for name in group)]
        for path in paths:
            value: Any = data
            for step in path:
                value = value.get(step)
                if value is None:
                    break
            if not isinstance(value, dict) or document.where(*path, key=True) != where:  # only a key begins there
                continue
            if is_single(path[0], value) and len(path) == 1:
                value = {key: part for key, part in value.items() if key != "name"}
            return DeclaredVm(path[-1], value, document, path, Path(where.file))
    return None


def _place(error: InputError, vm: VmSpec) -> None:
    if error.where is None and error.field is not None:
        error.where = locate(vm, error.field, error.at)

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

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.model import VmSpec
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
    """The entry of ``vm``, read again; None if the file cannot be read any more, or has it elsewhere."""
    from ovtasks.host.yamlfile import read_yaml
    from ovtasks.project.file_names import with_our_names

    try:
        documents = read_yaml(Path(vm.where.file), vm.where.file)
    except (InputError, OSError):
        return None
    for document, _ in map(with_our_names, documents):
        for path in (("vm",), ("vm", vm.name), ("vms", vm.name)):  # only a key begins at this place
            if document.where(*path, key=True) == vm.where:
                return VmEntry(document, path)
    return None


def _place(error: InputError, vm: VmSpec) -> None:
    if error.where is None and error.field is not None:
        error.where = locate(vm, error.field, error.at)

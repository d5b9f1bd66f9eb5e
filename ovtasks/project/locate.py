"""Finds where a VM's value stands in its file, for errors that appear long after the file was read.

A renderer knows no files: it raises ``InputError(…, field=("libvirt", "devices", "video", 0, "model"))``. A caller that
has the :class:`VmSpec` writes ``with located(vm): …`` around the call, and the error gets file, line and column. For
that the file is read again, so only errors pay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.model import VmSpec


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
    from ovtasks.host.yamlfile import read_yaml
    from ovtasks.project.file_names import with_our_names

    try:
        documents = read_yaml(Path(vm.where.file), vm.where.file)
    except InputError:
        return vm.where
    for document, _ in map(with_our_names, documents):
        for path in (("vm",), ("vm", vm.name), ("vms", vm.name)):  # only a key begins at this place
            if document.where(*path, key=True) == vm.where:
                return document.where(*path, *field, at=at)
    return vm.where


def _place(error: InputError, vm: VmSpec) -> None:
    if error.where is None and error.field is not None:
        error.where = locate(vm, error.field, error.at)

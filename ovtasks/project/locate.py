"""Where in its file a VM's value stands, for errors that are found long after the file was read.

A renderer knows no files: it raises ``InputError(…, field=("libvirt", "devices", "video", 0, "model"))``. Who has the
:class:`VmSpec` says ``with located(vm): …`` around the call, and the error gets file, line and column. The file is read
again for that, so only errors pay for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.model import VmSpec


@contextlib.contextmanager
def located(vm: VmSpec) -> Iterator[None]:
    """Input errors that name a field of ``vm`` leave the block with its place in the file."""
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
    """The place of the value at ``field`` (of line and column ``at`` in its text), of the nearest thing around it if it
    is not there, or of the VM's name if the file cannot be read any more."""
    from ovtasks.host.yamlfile import read_yaml

    try:
        documents = read_yaml(Path(vm.where.file), vm.where.file)
    except InputError:
        return vm.where
    for document in documents:
        for path in (("vm",), ("vm", vm.name), ("vms", vm.name)):  # nothing else begins where a key does
            if document.where(*path, key=True) == vm.where:
                return document.where(*path, *field, at=at)
    return vm.where


def _place(error: InputError, vm: VmSpec) -> None:
    if error.where is None and error.field is not None:
        error.where = locate(vm, error.field, error.at)

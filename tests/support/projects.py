"""Small things that the spec tests share."""

from __future__ import annotations

import os
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.project.load import check, load_project
from ovtasks.project.model import VmSpec

CLOUD = "{kind: cloud_image, url: https://example.org/a.qcow2}"


def write(folder: Path, text: str | bytes, name: str = "vms.yml") -> Path:
    """Write a file of a project, old enough for the cache to trust its time."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, ns=(10**18, 10**18))
    return path


def errors_of(folder: Path, text: str | bytes, name: str = "vms.yml") -> list[InputError]:
    """All errors of a project of one file; it must not be read as valid otherwise."""
    write(folder, text, name)
    return list(check((), folder).errors)


def vm_of(folder: Path, fields: str, source: str = CLOUD) -> VmSpec:
    """VM ``a`` with these fields (in flow style)."""
    write(folder, "vms: {a: {" + ", ".join(part for part in (f"source: {source}", fields) if part) + "}}")
    return load_project(folder, cache=False).vms["a"]


def one(errors: list[InputError]) -> InputError:
    """The only error."""
    assert len(errors) == 1, "\n".join(str(e) for e in errors)
    return errors[0]


def place(error: InputError) -> tuple[str, int, int]:
    """File name, line and column."""
    assert error.where is not None
    return Path(error.where.file).name, error.where.line, error.where.column

"""Reads YAML files of this machine."""

from __future__ import annotations

from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.host.state import read_input
from ovtasks.values.yamlio import MAX_BYTES, Document, parse_yaml


def read_yaml(path: Path, name: str) -> list[Document]:
    """The documents of a file; errors call it ``name``. An empty file has none.

    :raises InputError: the file is not readable, over 16 MiB, not UTF-8, not YAML, or uses what a spec may not use.
    """
    try:
        data = read_input(path, MAX_BYTES)
    except OSError as e:
        raise InputError(f"cannot read the file: {e.strerror}", where=Where(name)) from None
    return parse_yaml(data, name)

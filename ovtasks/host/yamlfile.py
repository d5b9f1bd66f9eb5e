"""Reads YAML files of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.state import read_input
from ovtasks.values.yamlio import MAX_BYTES, Document, parse_yaml


def read_yaml(path: Path, name: str, *, with_mistakes: bool = False) -> list[Document]:
    """The documents of a file; errors call it ``name``. An empty file has none. ``with_mistakes``: see
    :func:`~ovtasks.values.yamlio.parse_yaml`.

    :raises InputError: the file is not readable, over 16 MiB, not UTF-8, not YAML, or uses what a spec may not use.
    """
    try:
        data = read_input(path, MAX_BYTES)
    except OSError as e:
        raise InputError(f"cannot read the file: {e.strerror}", where=Where(name)) from None
    return parse_yaml(data, name, with_mistakes=with_mistakes)


def load_to_edit(yaml: Any, text: str, name: str, by_hand: str) -> list[Any]:
    """The documents of a text that :func:`read_yaml` takes, as ruamel.yaml's objects.

    It takes less: no tab before a value, no number of 5000 digits.

    :raises OvError: it does not take this text; ``by_hand`` is what has to be edited then.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return [*yaml.load_all(text)]
    except (YAMLError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        where = Where(name, mark.line + 1, mark.column + 1) if mark else Where(name)
        message = "the file is written in a way that ov reads, and cannot change"
        raise OvError(message, hint=f"edit it by hand: {by_hand}", where=where) from None

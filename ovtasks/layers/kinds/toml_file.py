"""TOML files beside ``layer.yml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from ovtasks.errors import InputError, OvError, Where
from ovtasks.project.places import display


def toml_of(path: Path) -> Mapping[str, object]:
    """What the file holds.

    :raises InputError: it is no TOML. :raises OvError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise OvError(f"{display(path)} cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise InputError(f"{path.name} is no TOML: {e}", where=Where(display(path), 1, 1)) from None


def table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The table of this name; an empty one if there is none."""
    found = data.get(key, {})
    return found if isinstance(found, Mapping) else {}

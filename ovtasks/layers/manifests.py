"""Files of other programs beside ``layer.yml``: which of them count, and what their TOML says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from ovtasks.errors import InputError, OvError, Where
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.places import display

NPM = "package.json"
CARGO = "Cargo.toml"
_PLACE = re.compile(r"line (\d+), column (\d+)")
_PIXI = ("pixi.toml", "pyproject.toml", "environment.yml")


def pixi_manifest(layer: LayerSpec) -> Path | None:
    """The file that describes the layer's environment of pixi.

    :raises InputError: it is not TOML. :raises OvError: it cannot be read.
    """
    for name in _PIXI:
        path = layer.files.get(name)
        if path is not None and (name != "pyproject.toml" or "pixi" in table(toml_of(path), "tool")):
            return path
    return None


def program_folders(layer: LayerSpec) -> list[str]:
    """Where the programs are that these files bring.

    :raises InputError, OvError: as :func:`pixi_manifest`.
    """
    found = ["~/.npm-global/bin"] if NPM in layer.files else []
    found += ["~/.pixi/envs/default/bin"] if pixi_manifest(layer) else []
    return found + (["~/.cargo/bin"] if CARGO in layer.files else [])


def toml_of(path: Path) -> Mapping[str, object]:
    """What the file holds.

    :raises InputError: it is not TOML. :raises OvError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise unreadable(path, e) from e
    except ValueError as e:
        hint = "correct the line of the error"
        raise InputError(f"{path.name} is not TOML: {e}", hint=hint, where=place_in(path, e)) from None


def unreadable(path: Path, error: OSError) -> OvError:
    """The error about a file of a layer that cannot be read."""
    hint = "it must be a file or folder that you may read; a link has to lead to one"
    return OvError(f"{path.name} cannot be read: {error.strerror}", hint=hint, where=Where(display(path)))


def place_in(path: Path, error: ValueError) -> Where:
    """Where in the file a parser found the error: its message says so, or it is about the whole file."""
    found = _PLACE.search(str(error))
    line, column = (int(found[1]), int(found[2])) if found else (1, 1)
    return Where(display(path), line, column)


def table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The table of this name; an empty one if there is none."""
    found = data.get(key, {})
    return found if isinstance(found, Mapping) else {}

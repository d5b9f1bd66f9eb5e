"""What the layers of an image are, as inputs of its build: a digest each, of what they say and of their files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ovtasks.errors import Where
from ovtasks.layers.given import missing, name_of, with_defaults
from ovtasks.layers.manifests import unreadable
from ovtasks.layers.operation import Skipped
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.layers import layers_of
from ovtasks.project.model import ImageSpec, Project
from ovtasks.project.places import LAYER_FILE
from ovtasks.values.jsonvalue import Json, digest

NO_CONTENT = frozenset({"where", "places", "folder", "ignored", "checks", "xml", "description"})
"""Fields of a layer that change nothing in an image."""


class LayerInputs(NamedTuple):
    """``digests`` by layer, in the order of their building; ``reads`` are the files and folders that they come from."""

    digests: Mapping[str, Json]
    reads: tuple[Path, ...]


def image_layers(image: ImageSpec, project: Project) -> list[LayerSpec]:
    """The image's layers and all that they require, in their order.

    :raises InputErrors: one of them is wrong or missing.
    """
    return layers_of(project, [(name, image.where) for name in image.layers])


def ungiven(layers: Sequence[LayerSpec]) -> Iterator[Skipped]:
    """What the layers cannot do without, and no image build gives them: only a deployment has values for it."""
    for layer in layers:
        for one in layer.secrets:
            if one.required or one.own:
                what = f"the secret {name_of(one)} of layer {layer.name}"
                yield Skipped(what, "everybody who has an image can read it, so no secret is put into one", one.where)
        for one in missing(layer, with_defaults(layer, {})):
            what = f"the variable {name_of(one)} of layer {layer.name}"
            yield Skipped(what, "it has no default, and only a deployment can set it", one.where)


def layer_inputs(image: ImageSpec, project: Project) -> LayerInputs:
    """What the layers of ``image`` are.

    :raises InputErrors: as :func:`image_layers`. :raises OvError: a file cannot be read.
    """
    digests: dict[str, Json] = {}
    reads: list[Path] = []
    for layer in image_layers(image, project):
        files = sorted(layer.folder.rglob("*"))  # it follows no links
        digests[layer.name] = layer_digest(layer, files)
        reads += [layer.folder, *files]
    return LayerInputs(digests, tuple(reads))


def layer_digest(layer: LayerSpec, files: Sequence[Path]) -> str:
    """What the layer says, wherever it stands in its file, and its files.

    :raises OvError: a file cannot be read.
    """
    contents = {str(path.relative_to(layer.folder)): _content(path) for path in files if path.name != LAYER_FILE}
    return digest({"layer": _plain(layer, layer.folder), "files": contents})


def _plain(value: object, folder: Path) -> Json:
    """A spec as JSON, without places: moving a line changes nothing."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = {one.name for one in dataclasses.fields(value)} - NO_CONTENT
        return {name: _plain(getattr(value, name), folder) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(one, folder) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, folder) for one in value if not isinstance(one, Where)]
    if isinstance(value, Path):
        return value.relative_to(folder).as_posix()
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _content(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        if path.is_dir():
            return "folder"
        with path.open("rb") as file:
            executable = "x " if path.stat().st_mode & 0o100 else ""
            return executable + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise unreadable(path, e) from e

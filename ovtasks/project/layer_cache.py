"""Layers as plain values that ``marshal`` takes, for the project's cache. Reading them back needs no YAML, no schemas.

A place is ``(line, column)``: all places of a layer are in its file. A tuple is a list; other values are tuples that
begin with the name of their class. What stands in ``data`` is JSON and stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovtasks.errors import Where
from ovtasks.project.layer_model import LayerCheck, LayerInput, LayerPart, LayerSpec, LayerTask, Named
from ovtasks.project.model import LayerXml

_PARTS: Mapping[str, type[LayerPart]] = {kind.__name__: kind for kind in (LayerPart, LayerTask, LayerCheck, LayerInput)}
_SHARED = len(dataclasses.fields(LayerPart))


def pack_layer(layer: LayerSpec) -> dict[str, Any]:
    """The fields of a layer as plain values."""
    return {field.name: _pack(getattr(layer, field.name)) for field in dataclasses.fields(layer)}


def unpack_layer(packed: Mapping[str, Any], file: str) -> LayerSpec:
    """The inverse of :func:`pack_layer`. ``file`` is what messages call the layer's file."""
    return LayerSpec(**{name: _unpack(value, file) for name, value in packed.items()})


def _pack(value: Any) -> Any:
    if isinstance(value, Where):
        return (value.line, value.column)
    if isinstance(value, LayerPart):
        more = (getattr(value, field.name) for field in dataclasses.fields(value)[_SHARED:])
        return (type(value).__name__, dict(value.data), _pack(value.where), _pack(value.places), *more)
    if isinstance(value, Named):
        return ("Named", value.name, _pack(value.where))
    if isinstance(value, LayerXml):
        return ("LayerXml", *value)
    if isinstance(value, Path):
        return ("Path", str(value))
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    return {key: _pack(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _unpack(value: Any, file: str) -> Any:
    if isinstance(value, list):
        return tuple(_unpack(item, file) for item in value)
    if isinstance(value, dict):
        return {key: _unpack(item, file) for key, item in value.items()}
    if not isinstance(value, tuple):
        return value
    head, *rest = value
    if isinstance(head, int):
        return Where(file, head, rest[0])
    if head == "Path":
        return Path(rest[0])
    if head == "Named":
        return Named(rest[0], _unpack(rest[1], file))
    if head == "LayerXml":
        return LayerXml(*rest)._replace(file=file)
    data, where, places, *more = rest
    at = {key: Where(file, *place) for key, place in places.items()}
    return _PARTS[head](data, Where(file, *where), at, *more)

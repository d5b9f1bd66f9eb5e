"""A layer as declared: ``layers/<name>/layer.yml`` under the names of today, every value with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ovtasks.errors import InputError, Where
from ovtasks.project.model import LayerXml
from ovtasks.values.jsonvalue import Json


class Named(NamedTuple):
    """A name and where it is written: a layer that is needed, a field that means nothing to a VM."""

    name: str
    where: Where


@dataclass(frozen=True)
class LayerPart:
    """A mapping of a layer file: a task, a service, a section of packages.

    ``data`` has today's names of the keys and the types of the schema; ``places`` is where each key's value stands.
    """

    data: Mapping[str, Json]
    where: Where
    places: Mapping[str, Where] = field(default_factory=dict)

    def place(self, key: str) -> Where:
        """Where the value of ``key`` stands; without one: where the part begins."""
        return self.places.get(key, self.where)

    def error(self, message: str, key: str | None = None, *, hint: str | None = None) -> InputError:
        """An error about the value of ``key``, or about the whole part."""
        return InputError(message, hint=hint, where=self.place(key) if key else self.where)


@dataclass(frozen=True)
class LayerTask(LayerPart):
    """One of ``tasks:``. ``verb`` names its kind (``cmd``, ``write``); ``data[verb]`` is its object.

    ``data`` also has what the verb reads beside it (``to``, ``mode``), and ``user``, ``uninstall``, ``comment``.
    """

    verb: str = ""


@dataclass(frozen=True)
class LayerSpec:
    """One layer.

    ``folder`` is where the files lie that it copies. ``requires`` are the layers that come before it (``requires`` and
    ``layers`` of the file). ``sections`` are the parts that stand for a distribution, by tag: ``""`` for the top-level
    list of packages, ``debian``, ``debian:13``, ``rpm``, ``deb``, ``pac``; a section has ``packages``, ``repos``,
    ``options``, ``exclude``, ``copr``, ``modules``, ``aur``. ``files`` are the files beside ``layer.yml`` that mean
    something by their name (``package.json``, ``pixi.toml``). ``ignored`` are fields that only concern containers.
    """

    name: str
    folder: Path
    where: Where
    description: str = ""
    requires: tuple[Named, ...] = ()
    sections: Mapping[str, LayerPart] = field(default_factory=dict)
    environment: LayerPart | None = None
    path_append: tuple[Named, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[LayerTask, ...] = ()
    services: tuple[LayerPart, ...] = ()
    shell: LayerPart | None = None
    checks: tuple[LayerPart, ...] = ()
    artifacts: tuple[LayerPart, ...] = ()
    secrets: tuple[LayerPart, ...] = ()
    reboot: bool = False
    files: Mapping[str, Path] = field(default_factory=dict)
    ignored: tuple[Named, ...] = ()
    xml: tuple[LayerXml, ...] = ()

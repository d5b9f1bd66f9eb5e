"""A layer as declared: ``layers/<name>/layer.yml`` under the names of today, every value with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.project.placement import LayerXml
from ovtasks.project.placement import Named as Named
from ovtasks.values.jsonvalue import Json


@dataclass(frozen=True)
class LayerPart:
    """A mapping of a layer file: a task, a service, a section of packages.

    ``data`` has today's names of the keys and the types of the schema; what may be a text or a list of texts is a list.
    ``places`` is where each value stands, by its path in ``data``: ``mode``, ``repos[0].url``.
    """

    data: Mapping[str, Json]
    where: Where
    places: Mapping[str, Where] = field(default_factory=dict)

    def place(self, key: str) -> Where:
        """Where the value of ``key`` (``env.NAME`` is one inside) stands, or what it would be in."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
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
class LayerCheck(LayerPart):
    """One of ``eval:``. ``verb`` names what it looks at (``file``, ``command``), and ``data[verb]`` is its object."""

    verb: str = ""


@dataclass(frozen=True)
class LayerInput(LayerPart):
    """A variable or a secret that the layer is given. ``data`` has ``name``, ``description``, ``default``, ``key``.

    ``required``: it cannot do without. ``own``: the layer's own secret (``secrets``), which is made up once for each
    instance; ``data`` then has ``env`` and ``target``.
    """

    required: bool = False
    own: bool = False


@dataclass(frozen=True)
class LayerSpec:
    """One layer.

    ``folder`` is where the files lie that it copies. ``requires`` are the layers that come before it (``requires`` and
    ``layers`` of the file). ``sections`` are the parts that stand for a distribution, by tag: ``""`` for the top-level
    list of packages, ``debian``, ``debian:13``, ``arch``, ``rpm``, ``deb``, ``pac``; a section has ``packages``
    (names), ``repos``, ``options``, ``exclude``, ``copr``, ``modules``, ``aur``. The section ``aur`` has what ``aur``
    in a section has. ``checks`` are those of ``eval`` and of the scenarios in ``description``. ``env_inputs`` are
    ``env_requires`` and ``env_accepts``; ``secrets`` are ``secret_requires``, ``secret_accepts`` and ``secrets``.
    ``files`` are the files beside ``layer.yml`` that mean something by their name (``package.json``, ``pixi.toml``).
    ``ignored`` are fields that only concern containers.
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
    checks: tuple[LayerCheck, ...] = ()
    artifacts: tuple[LayerPart, ...] = ()
    env_inputs: tuple[LayerInput, ...] = ()
    secrets: tuple[LayerInput, ...] = ()
    reboot: bool = False
    files: Mapping[str, Path] = field(default_factory=dict)
    ignored: tuple[Named, ...] = ()
    xml: tuple[LayerXml, ...] = ()

"""Finds the object behind a name: a source, a backend, a kind of operation, or what makes the verbs' tasks.

This package's own are listed here as text. So only the one that is asked for is imported, and lower rooms need not
import the rooms above them. Those of other packages are found by their entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ovtasks.errors import OvError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SOURCES = "ovtasks.sources"
BACKENDS = "ovtasks.backends"
OPERATIONS = "ovtasks.operations"

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    SOURCES: {
        "cloud_image": "ovtasks.sources.cloud_image:CloudImage",
        "bootc": "ovtasks.sources.bootc:Bootc",
        "bootstrap": "ovtasks.sources.bootstrap:Bootstrap",
        "imported": "ovtasks.sources.imported:Imported",
        "clone": "ovtasks.sources.clone:Clone",
    },
    BACKENDS: {
        "libvirt": "ovtasks.backends.libvirt:Libvirt",
        "qemu": "ovtasks.backends.qemu:Qemu",
    },
    OPERATIONS: {
        "repositories": "ovtasks.layers.kinds.repositories:Repositories",
        "packages": "ovtasks.layers.kinds.packages:Packages",
        "environment": "ovtasks.layers.kinds.environment:Environment",
        "npm": "ovtasks.layers.kinds.npm:Npm",
        "pixi": "ovtasks.layers.kinds.pixi:Pixi",
        "aur": "ovtasks.layers.kinds.aur:Aur",
        "cargo": "ovtasks.layers.kinds.cargo:Cargo",
        "mkdir": "ovtasks.layers.kinds.mkdir:Mkdir",
        "copy": "ovtasks.layers.kinds.copy:Copy",
        "write": "ovtasks.layers.kinds.write:Write",
        "link": "ovtasks.layers.kinds.link:Link",
        "download": "ovtasks.layers.kinds.download:Download",
        "setcap": "ovtasks.layers.kinds.setcap:Setcap",
        "cmd": "ovtasks.layers.kinds.cmd:Cmd",
        "build": "ovtasks.layers.kinds.build:Build",
        "shell": "ovtasks.layers.kinds.shell:ShellFiles",
        "services": "ovtasks.layers.kinds.services:Services",
    },
}
"""Name → ``module:class``, by group. Other packages use the group's name for their entry points."""
IMAGES = "ovtasks.sources.bootc:ContainerImages"
"""The class that provides the container images of ``images:``."""
VERBS = ("ovtasks.instance.tasks:tasks", "ovtasks.deploy.tasks:tasks")
"""The functions that make the doit tasks for everything but building: start, stop and the other verbs; deploy."""


def names(group: str) -> tuple[str, ...]:
    """Every name in ``group``: our own in the order of the table, then those of other packages, sorted."""
    ours = BUILT_IN[group]
    return (*ours, *sorted({point.name for point in _points(group)} - ours.keys()))


def foreign(group: str) -> Mapping[str, str]:
    """The module of each name in ``group`` that another package brings, and none of ours is called."""
    return {point.name: point.module for point in _points(group) if point.name not in BUILT_IN[group]}


def find(group: str, name: str) -> object | None:
    """Load what is called ``name`` in ``group``. Our own comes before another package's. None if nobody provides it.

    :raises OvError: a package provides it, but it cannot be loaded.
    """
    if place := BUILT_IN[group].get(name):
        return load(place)
    for point in _points(group):
        if point.name == name:
            return _load_foreign(point)
    return None


def load(place: str) -> object:
    """Load the object at ``module:name``."""
    from importlib import import_module

    module, _, name = place.partition(":")
    found: object = getattr(import_module(module), name)
    return found


def _points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of other packages. Slow, because it reads every installed package: call it only when needed."""
    from importlib.metadata import entry_points

    return tuple(point for point in entry_points(group=group) if not point.value.startswith("ovtasks."))


def _load_foreign(point: EntryPoint) -> object:
    try:
        found: object = point.load()
    except (ImportError, AttributeError, SyntaxError) as e:
        package = point.dist.name if point.dist is not None else point.value
        hint = f"install another version of {package}, or remove it"
        raise OvError(f"the plugin {point.name} ({point.value}) cannot be loaded: {e}", hint=hint) from e
    return found

"""Finds the class behind a name: a source, a backend, the maker of the verbs' tasks.

Those of this package stand here by name only. So only the one that is asked for is loaded, and lower rooms need not
know the rooms above them. Those of other packages are found by their entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ovtasks.errors import OvError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SOURCES = "ovtasks.sources"
BACKENDS = "ovtasks.backends"

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    SOURCES: {
        "cloud_image": "ovtasks.sources.cloud_image:CloudImage",
        "bootc": "ovtasks.sources.bootc:Bootc",
        "bootstrap": "ovtasks.sources.bootstrap:Bootstrap",
    },
    BACKENDS: {
        "libvirt": "ovtasks.backends.libvirt:Libvirt",
        "qemu": "ovtasks.backends.qemu:Qemu",
    },
}
"""Name → ``module:class``, by group. A group's name is also that of the entry points of other packages."""
IMAGES = "ovtasks.sources.bootc:ContainerImages"
"""Brings the container images of ``images:``."""
VERBS = "ovtasks.instance.tasks:tasks"
"""Makes the doit tasks that act on a VM beyond building it."""


def names(group: str) -> tuple[str, ...]:
    """Every name in ``group``: ours in the order of the table, then those of other packages, sorted."""
    ours = BUILT_IN[group]
    return (*ours, *sorted({point.name for point in _points(group)} - ours.keys()))


def find(group: str, name: str) -> object | None:
    """Load what is called ``name`` in ``group``; ours wins. None if no package brings it.

    :raises OvError: a package brings it, but it cannot be loaded.
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
    """Of other packages. Every installed package is looked at: only who asks for a stranger waits for it."""
    from importlib.metadata import entry_points

    return tuple(point for point in entry_points(group=group) if not point.value.startswith("ovtasks."))


def _load_foreign(point: EntryPoint) -> object:
    try:
        found: object = point.load()
    except (ImportError, AttributeError, SyntaxError) as e:
        package = point.dist.name if point.dist is not None else point.value
        hint = f"install another version of {package}, or remove it"
        raise OvError(f"the plug-in {point.name} ({point.value}) cannot be loaded: {e}", hint=hint) from e
    return found

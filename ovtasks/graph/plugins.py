"""Plug-ins by entry point: looked up by the kind asked for, never scanned for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol

from ovtasks.errors import InputError
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.project.model import ImageSpec, Project, VmSpec
from ovtasks.values.jsonvalue import Json

SOURCES = "ovtasks.sources"
IMAGES = "ovtasks.images"


class SourcePlugin(Protocol):
    """Where a disk comes from: turns one VM into steps.

    ``schema`` is the JSON Schema (2020-12) of the ``source:`` mapping, ``kind`` included; None for the kinds that the
    shipped schema already describes. :meth:`steps` returns the chain in the order of its needs; it reads only what it
    names in ``Step.reads``, and does nothing that takes time: it is called on every run.
    """

    kind: str
    schema: Mapping[str, Json] | None

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]: ...


@cache
def source(kind: str) -> SourcePlugin:
    """The source plug-in for ``source.kind``.

    :raises InputError: no installed package brings that kind.
    """
    from importlib.metadata import PackageNotFoundError, distribution, entry_points

    try:
        own = [e for e in distribution("ovtasks").entry_points if e.group == SOURCES and e.name == kind]
    except PackageNotFoundError:
        own = []
    found = own or list(entry_points(group=SOURCES, name=kind))
    if not found:
        raise InputError(
            f"source.kind {kind} cannot be built",
            hint="this version builds cloud_image and bootstrap; other kinds come from plug-ins",
        )
    plugin: SourcePlugin = found[0].load()()
    return plugin


ImageSteps = Callable[[ImageSpec, Project, BuildOptions], Sequence[Step]]
"""Makes the steps that bring a container image; the last one is the image's own."""


@cache
def images() -> ImageSteps:
    """Who makes the steps of ``images:`` entries.

    :raises InputError: this package is not installed, only found on the path.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = [entry for entry in distribution("ovtasks").entry_points if entry.group == IMAGES]
    except PackageNotFoundError:
        found = []
    if not found:
        raise InputError("container images cannot be built", hint="install the package ovtasks, with pip")
    makes: ImageSteps = found[0].load()
    return makes


def schema(kind: str) -> Mapping[str, Json] | None:
    """The JSON Schema that a plug-in brings for its ``source:`` mapping; None when there is no such plug-in."""
    try:
        return source(kind).schema
    except InputError:
        return None

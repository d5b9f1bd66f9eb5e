"""What a source is to the graph, and which one a VM has: looked up by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol, cast

from ovtasks import registry
from ovtasks.errors import InputError
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.project.model import ImageSpec, Project, VmSpec
from ovtasks.values.jsonvalue import Json


class SourcePlugin(Protocol):
    """Where a disk comes from: turns one VM into steps.

    ``schema`` is the JSON Schema (2020-12) of the ``source:`` mapping, ``kind`` included; None for the kinds that the
    shipped schema already describes. :meth:`steps` returns the chain in the order of its needs; it reads only what it
    names in ``Step.reads``, and does nothing that takes time: it is called on every run.
    """

    kind: str
    schema: Mapping[str, Json] | None

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The steps that make the VM's artifacts, in the order of their needs.

        :raises InputError: the VM's spec asks for what this source cannot do."""


@cache
def source(kind: str) -> SourcePlugin:
    """The source plug-in for ``source.kind``.

    :raises InputError: no installed package brings that kind.
    """
    found = registry.find(registry.SOURCES, kind)
    if found is None:
        known = ", ".join(registry.names(registry.SOURCES))
        raise InputError(
            f"source.kind {kind} cannot be built", hint=f"kinds that can: {known}; others come from plug-ins"
        )
    return cast(Callable[[], SourcePlugin], found)()


ImageSteps = Callable[[ImageSpec, Project, BuildOptions], Sequence[Step]]
"""Makes the steps that bring a container image; the last one is the image's own."""


@cache
def images() -> ImageSteps:
    """Who makes the steps of ``images:`` entries."""
    return cast(ImageSteps, registry.load(registry.IMAGES))


def schema(kind: str) -> Mapping[str, Json] | None:
    """The JSON Schema that a plug-in brings for its ``source:`` mapping; None when there is no such plug-in."""
    try:
        return source(kind).schema
    except InputError:
        return None

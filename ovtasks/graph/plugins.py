"""What a source is to the graph, and which one a VM has: looked up by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from ovtasks import registry
from ovtasks.errors import InputError, OvError
from ovtasks.values.jsonvalue import Json
from ovtasks.values.option import Option

if TYPE_CHECKING:
    from ovtasks.graph.step import BuildOptions, Step
    from ovtasks.host.programs import Program
    from ovtasks.project.model import ImageSpec, Project, VmSpec


@runtime_checkable
class SourcePlugin(Protocol):
    """Where a disk comes from: turns one VM into steps. A plug-in's class derives from this one, is made without
    arguments, and says what the rest of the program has to know of it; all but :meth:`steps` is asked often, and must
    be cheap to import.

    ``kind`` is the value of ``source.kind``. ``schema`` is the JSON Schema (2020-12) of the ``source:`` mapping,
    ``kind`` included; None for the kinds that the shipped schema already describes. ``options`` are those of the
    command line that it takes beside the common ones. ``verbs`` are those of its steps: what stands before the colon of
    their names. ``variables`` of the environment decide, too, whether a step is fresh.
    """

    kind: str
    schema: Mapping[str, Json] | None = None
    options: Sequence[Option[object]] = ()
    verbs: Sequence[str] = ()
    variables: Sequence[str] = ()

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        """What a VM with this ``source:`` mapping needs of the host; a name alone is a program of the package of that
        name, or one that :mod:`ovtasks.host.packages` knows.

        The mapping comes as it stands in the file, unchecked; an empty one asks what every VM of the kind needs.
        """
        return ()

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The chain of ``vm`` in the order of its needs. It reads only what it names in ``Step.reads``, and does
        nothing that takes time: it is called on every run.

        :raises InputError: the VM cannot be made so.
        """
        ...


class ImagesPlugin(Protocol):
    """What brings the container images of ``images:``; see :class:`SourcePlugin`. ``options`` are all of its goals."""

    options: Sequence[Option[object]]

    def programs(self) -> Iterable[str | Program]:
        """What bringing images needs of the host."""
        ...

    def steps(self, image: ImageSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The steps that bring ``image``; the last one is the image's own."""
        ...


@cache
def source(kind: str) -> SourcePlugin:
    """The source plug-in for ``source.kind``.

    :raises InputError: no installed package brings that kind.
    :raises OvError: what a package brings cannot be loaded, or is no source.
    """
    found = registry.find(registry.SOURCES, kind)
    if found is None:
        known = ", ".join(registry.names(registry.SOURCES))
        raise InputError(
            f"source.kind {kind} cannot be built", hint=f"kinds that can: {known}; others come from plug-ins"
        )
    plugin = cast(Callable[[], object], found)()
    if not isinstance(plugin, SourcePlugin):
        raise OvError(
            f"the plug-in of source.kind {kind} is of another version of ovtasks",
            hint=f"its class {type(plugin).__qualname__} has to derive from ovtasks.plugin.SourcePlugin",
        )
    return plugin


@cache
def images() -> ImagesPlugin:
    """What makes the steps of ``images:`` entries."""
    return cast(Callable[[], ImagesPlugin], registry.load(registry.IMAGES))()


def sources() -> Iterator[SourcePlugin]:
    """Every source there is; one that cannot be loaded is left to who wants to build with it."""
    for kind in registry.names(registry.SOURCES):
        try:
            yield source(kind)
        except OvError:
            continue


def verbs() -> frozenset[str]:
    """The verbs of all steps of all VMs, and ``build``."""
    return frozenset({"build", *(verb for plugin in sources() for verb in plugin.verbs)})


def variables() -> tuple[str, ...]:
    """Those of the environment that any source looks at."""
    return tuple(sorted({name for plugin in sources() for name in plugin.variables}))


def schema(kind: str) -> Mapping[str, Json] | None:
    """The JSON Schema that a plug-in brings for its ``source:`` mapping; None when there is no such plug-in."""
    try:
        return source(kind).schema
    except InputError:
        return None

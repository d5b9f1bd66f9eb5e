"""The contract of sources, and the source of a kind."""

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
    """Where a disk comes from: it turns one VM into steps.

    A plugin's class derives from this one, takes no arguments, and says what the rest of ovtasks has to know about it.
    Everything but :meth:`steps` is used often, so the module must be cheap to import.

    ``kind`` is the value of ``source.kind``. ``schema`` is the JSON Schema (2020-12) of the ``source:`` mapping,
    ``kind`` included; None for kinds that the shipped schema describes. ``options`` are options of the command line,
    beside the common ones. ``verbs`` are what stands before the colon in the names of its steps. ``variables`` are
    environment variables that also decide whether a step is fresh.
    """

    kind: str
    schema: Mapping[str, Json] | None = None
    options: Sequence[Option[object]] = ()
    verbs: Sequence[str] = ()
    variables: Sequence[str] = ()

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        """The programs that a VM with this ``source:`` mapping needs on the host.

        A plain name is a program that :mod:`ovtasks.host.packages` knows, or whose package has the same name. The
        mapping is unchecked, as it stands in the file; an empty one asks what every VM of the kind needs.
        """
        return ()

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The steps that make the VM's artifacts, in the order of their needs.

        This is called on every run, so it must be quick, and read only files that it names in ``Step.reads``.

        :raises InputError: the VM's spec asks for what this source cannot do.
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
    """The source plugin for ``source.kind``.

    :raises InputError: no installed package brings that kind.
    :raises OvError: what a package brings cannot be loaded, or is no source.
    """
    found = registry.find(registry.SOURCES, kind)
    if found is None:
        known = ", ".join(registry.names(registry.SOURCES))
        raise InputError(
            f"source.kind {kind} cannot be built", hint=f"kinds that can: {known}; others come from plugins"
        )
    plugin = cast(Callable[[], object], found)()
    if not isinstance(plugin, SourcePlugin):
        raise OvError(
            f"the plugin of source.kind {kind} is of another version of ovtasks",
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
    """The JSON Schema that a plugin brings for its ``source:`` mapping; None when there is no such plugin."""
    try:
        return source(kind).schema
    except InputError:
        return None

"""Finds the doit tasks that act on VMs beyond building them. Higher rooms make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from ovtasks import registry

if TYPE_CHECKING:
    from doit.task import Task

    from ovtasks.graph.chains import Graph
    from ovtasks.graph.display import Display

VerbTasks = Callable[["Graph", Iterable[str], "Display"], Iterator["Task"]]
"""Makes the doit tasks that act on the named VMs beyond building them (``create:arch``)."""


def verb_tasks(graph: Graph, vms: Iterable[str], display: Display) -> Iterator[Task]:
    """The tasks that higher rooms make for the named VMs."""
    names = list(vms)
    for place in registry.VERBS:
        yield from cast(VerbTasks, registry.load(place))(graph, names, display)

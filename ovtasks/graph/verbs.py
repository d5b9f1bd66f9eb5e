"""Finds the doit tasks that act on VMs beyond building them. A higher room makes them."""

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


def verbs() -> VerbTasks:
    """The function that makes the verbs' tasks."""
    return cast(VerbTasks, registry.load(registry.VERBS))

"""The doit tasks that act on VMs beyond building them: made upstairs, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from ovtasks import registry

if TYPE_CHECKING:
    from doit.task import Task

    from ovtasks.graph.chains import Graph
    from ovtasks.graph.display import Display

VerbTasks = Callable[["Graph", Iterable[str], "Display"], Iterator["Task"]]
"""Makes doit tasks that act on a VM beyond building it (``create:arch``), for the VMs named."""


def verbs() -> VerbTasks:
    """Who makes the verbs' tasks."""
    return cast(VerbTasks, registry.load(registry.VERBS))

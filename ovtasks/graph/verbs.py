"""The doit tasks that act on VMs beyond building them: made upstairs, found by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from doit.task import Task

    from ovtasks.graph.chains import Graph
    from ovtasks.graph.display import Display

VERBS = "ovtasks.verbs"

VerbTasks = Callable[["Graph", Iterable[str], "Display"], Iterator["Task"]]
"""Makes doit tasks that act on a VM beyond building it (``create:arch``), for the VMs named."""


@cache
def verbs() -> VerbTasks | None:
    """Who makes the verbs' tasks; None when this package is not installed, only found on the path."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = [entry for entry in distribution("ovtasks").entry_points if entry.group == VERBS]
    except PackageNotFoundError:
        return None
    makes: VerbTasks | None = found[0].load() if found else None
    return makes

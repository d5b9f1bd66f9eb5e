"""doit tasks that need no receipt: what is there tells whether they have work."""

from __future__ import annotations

from typing import Any

from doit.task import Task

from ovtasks.errors import OvError
from ovtasks.graph.chains import Graph
from ovtasks.graph.display import Display
from ovtasks.graph.tasks import WorkTask
from ovtasks.host.oserrors import explaining


class LookingTask(WorkTask):
    """A task that looks itself whether there is anything to do."""

    def __init__(self, graph: Graph, name: str, display: Display, **attributes: Any) -> None:
        super().__init__(graph, name, display, uptodate=[self._fresh], io={"capture": False}, **attributes)

    def fresh(self) -> bool:
        """Whether there is nothing to do.

        :raises OvError: nobody can tell. Then the task runs, and reports it.
        """
        raise NotImplementedError

    def is_fresh(self) -> bool:
        if self.name in self.graph.settled:
            return True
        try:
            with explaining(self.name):
                fresh = self.fresh()
        except OvError:
            return False
        if fresh:
            self.graph.settled.add(self.name)
        return fresh

    def _fresh(self, task: Task, values: object) -> bool:
        return self.is_fresh()

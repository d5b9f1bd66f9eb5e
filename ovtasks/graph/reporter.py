"""doit's console reporter, without lines for groups and without tracebacks for errors that the user can mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail
from doit.reporter import ConsoleReporter

from ovtasks.graph.chains import Graph
from ovtasks.graph.display import Display
from ovtasks.graph.tasks import OvTask, StepTask
from ovtasks.host.colour import Hue, painted

if TYPE_CHECKING:
    from ovtasks.graph.summary import Failure

_HUES = {".": Hue.GOOD, "--": Hue.DIM, "!!": Hue.BAD}


class OvReporter(ConsoleReporter):  # type: ignore[misc]
    """Prints ``.  step`` for one that runs and ``-- step`` for a fresh one, as doit users know it."""

    desc = "console output of ovtasks"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._titles: dict[str, str] = {}
        self._graph: Graph | None = None
        self._sound = True
        self._display: Display | None = None
        self._worked = False
        self._fresh: list[str] = []
        self._failed: list[Failure] = []

    def get_status(self, task: Any) -> None:
        """doit calls this for every task, before it knows whether the task runs."""
        super().get_status(task)
        if not isinstance(task, OvTask):
            self._sound = False
        elif task.actions:
            self._titles[task.name] = task.title()
        self._graph = getattr(task, "graph", self._graph)
        self._display = getattr(task, "display", self._display)

    def skip_ignore(self, task: Any) -> None:
        """A task that ``doit ignore`` switched off: the run does not prove that everything is fresh."""
        self._sound = False
        super().skip_ignore(task)

    def complete_run(self) -> None:
        """The end of the run: if it proves that the goals are fresh, remember that for the fast path."""
        super().complete_run()
        if self._sound and self._graph is not None and self._graph.finished is not None:
            self._graph.finished(self._titles)
        self._sum_up()

    def _sum_up(self) -> None:
        """Let the display say how the run ended. A run that had nothing to do reads no notes about it."""
        if self._graph is None or self._display is None or not (self._worked or self._display.always):
            return
        from ovtasks.graph.summary import run_of, saved_by

        ran = run_of(self._graph) if self._worked else []
        self._display.summary(ran, len(self._fresh), saved_by(self._graph, self._fresh), self._failed)

    def execute_task(self, task: Any) -> None:
        """doit calls this when a task begins."""
        self._worked = self._worked or isinstance(task, StepTask)
        super().execute_task(task)

    def skip_uptodate(self, task: Any) -> None:
        """Say so of tasks with actions, and of the user's own; groups of ours stay silent."""
        if isinstance(task, StepTask):
            self._fresh.append(task.name)
            task.display.fresh(task.name, task.title().partition("  ")[2])
        if task.actions or not isinstance(task, OvTask):
            super().skip_uptodate(task)

    def write(self, text: str) -> None:
        """Write ``text``; doit's sign at its beginning (``.``, ``--``, ``!!``) gets its colour."""
        sign = text.partition(" ")[0]
        hue = _HUES.get(sign)
        text = text if hue is None else f"{painted(sign, hue, self.outstream)}{text[len(sign) :]}"
        if not (self._display is not None and self.outstream.isatty() and self._display.above(text)):
            super().write(text)

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Print a failure once; the display prints those of our steps."""
        self._sound = False
        if not isinstance(task, OvTask):
            super().add_failure(task, fail)
            return
        if fail.report and task.executed:
            from ovtasks.graph.summary import Failure

            self._failed.append(Failure(task.name, fail.get_msg().strip()))
            self.write(f"!! {task.name}: {fail.get_msg().strip()}\n")

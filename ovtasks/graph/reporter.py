"""doit's console reporter in our words: no line for groups, no traceback for what the user can mend."""

from __future__ import annotations

from typing import Any

from doit.exceptions import BaseFail
from doit.reporter import ConsoleReporter

from ovtasks.graph.tasks import OvTask


class OvReporter(ConsoleReporter):  # type: ignore[misc]
    """``.  step`` runs, ``-- step`` is fresh, as doit users know it."""

    desc = "console output of ovtasks"

    def skip_uptodate(self, task: Any) -> None:
        if task.actions or not isinstance(task, OvTask):
            super().skip_uptodate(task)

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        if not isinstance(task, OvTask):
            super().add_failure(task, fail)
        elif fail.report and task.executed:
            self.write(f"!! {task.name}: {fail.get_msg().strip()}\n")

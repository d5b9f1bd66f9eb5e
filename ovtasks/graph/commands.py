"""doit commands that must know about receipts."""

from __future__ import annotations

from typing import Any

from doit.cmd_base import check_tasks_exist, subtasks_iter, tasks_and_deps_iter
from doit.cmd_forget import Forget

from ovtasks.graph.options import TYPES
from ovtasks.graph.tasks import GoalTask, StepTask


class ForgetReceipts(Forget):  # type: ignore[misc]
    """``doit forget``: also removes the receipts of our steps, because those and not doit's database decide.

    ``doit forget build:arch`` forgets that VM's own steps; a shared step is forgotten by its own name or with ``-s``.
    """

    name = "forget"

    def _execute(self, forget_sub: bool, forget_disable_default: bool, forget_all: bool) -> None:
        tasks = {task.name: task for task in self.task_list}
        if forget_all:
            chosen = list(tasks.values())
        elif self.sel_default_tasks and forget_disable_default:
            chosen = []
        else:
            check_tasks_exist(tasks, self.sel_tasks)
            chosen = list(tasks_and_deps_iter(tasks, self.sel_tasks)) if forget_sub else self._named(tasks)
        for task in chosen:
            for step in _steps(task):
                step.receipt.unlink(missing_ok=True)
        super()._execute(forget_sub, forget_disable_default, forget_all)

    def _named(self, tasks: dict[str, Any]) -> list[Any]:
        return [t for name in self.sel_tasks for t in (tasks[name], *subtasks_iter(tasks, tasks[name]))]


def _steps(task: Any) -> list[Any]:
    if isinstance(task, StepTask):
        return [task.graph.step(task.name)]
    if isinstance(task, GoalTask):
        return [s for type in TYPES for s in task.graph.chain(task.vm, type) if not s.shared]
    return []

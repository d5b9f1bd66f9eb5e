"""doit's commands, extended to know receipts, our database, and the errors of our tasks."""

from __future__ import annotations

import contextlib
import pprint
from pathlib import Path
from typing import Any

from doit.cmd_base import check_tasks_exist, subtasks_iter, tasks_and_deps_iter
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_dumpdb import DumpDB as DoitDumpDB
from doit.cmd_forget import Forget
from doit.cmd_help import Help as DoitHelp
from doit.cmd_ignore import Ignore as DoitIgnore
from doit.cmd_info import Info as DoitInfo
from doit.cmd_list import List as DoitList
from doit.cmd_resetdep import ResetDep as DoitResetDep
from doit.cmd_run import Run as DoitRun
from doit.exceptions import InvalidCommand

from ovtasks.graph.database import DEP_FILE, TABLE, WalDB
from ovtasks.graph.options import TYPES
from ovtasks.graph.surface import Guarded, said
from ovtasks.graph.tasks import AliasTask, GoalTask, OvTask, StepTask
from ovtasks.host import streams

NO_DATABASE = ".doit.db"
"""doit's default name: the user has named no other."""


class Run(Guarded, DoitRun):  # type: ignore[misc]
    """``doit run``, or no command at all."""

    name = "run"

    def get_reporters(self) -> dict[str, Any]:
        """The names for ``-r``; ``json`` is doit's own format."""
        from doit.reporter import JsonReporter

        reporters: dict[str, Any] = super().get_reporters()
        if reporters["json"] is JsonReporter:
            reporters["json"] = _json_reporter()
        return reporters


def _json_reporter() -> type:
    from doit.reporter import JsonReporter

    class OvJsonReporter(JsonReporter):  # type: ignore[misc]
        """doit's own would end in a TypeError when a task is interrupted."""

        def complete_run(self) -> None:
            for result in self.t_results.values():
                if result._started_on is not None and result._finished_on is None:
                    result.set_result("fail", "interrupted")
            super().complete_run()

    return OvJsonReporter


class List(Guarded, DoitList):  # type: ignore[misc]
    """``doit list``."""

    name = "list"

    def _print_task(self, template: str, *others: Any) -> None:
        try:
            super()._print_task(template, *others)
        except (KeyError, IndexError, ValueError) as e:
            raise InvalidCommand(
                f"--template: {e} is not a field\n  hint: {{name}}, {{doc}}, with -s {{status}}"
            ) from None


class Clean(Guarded, DoitClean):  # type: ignore[misc]
    """``doit clean``."""

    name = "clean"


class Ignore(Guarded, DoitIgnore):  # type: ignore[misc]
    """``doit ignore``."""

    name = "ignore"


class ResetDep(Guarded, DoitResetDep):  # type: ignore[misc]
    """``doit reset-dep``: only for tasks that use doit's database; our steps have receipts."""

    name = "reset-dep"

    def _execute(self, pos_args: list[str] | None = None) -> None:
        tasks = {task.name: task for task in self.task_list}
        chosen = [t for name in pos_args or () for t in (tasks[name], *subtasks_iter(tasks, tasks[name]))]
        for task in chosen if pos_args else self.task_list:
            if isinstance(task, OvTask) and pos_args:
                self.outstream.write(f"skip {task.name} (receipts decide)\n")
        others = [task for task in (chosen if pos_args else self.task_list) if not isinstance(task, OvTask)]
        if others:
            super()._execute([task.name for task in others if not task.subtask_of or pos_args])


class Info(Guarded, DoitInfo):  # type: ignore[misc]
    """``doit info``: for our steps it says what ``ov why`` says."""

    name = "info"

    def _execute(self, pos_args: list[str], hide_status: bool = False) -> int:
        self._shown = next((task for task in self.task_list if task.name in pos_args), None)
        code: int = super()._execute(pos_args, hide_status)
        return code

    def get_reasons(self, reasons: Any) -> str:
        """Why the task would run, one reason per line."""
        if isinstance(self._shown, OvTask):
            return "\n".join(f" * {reason}" for reason in self._shown.reasons())
        text: str = super().get_reasons(reasons)
        return text


class Help(Guarded, DoitHelp):  # type: ignore[misc]
    """``doit help``: a task of ours has two examples."""

    name = "help"

    def _execute(self, pos_args: list[str]) -> bool:
        from ovtasks.graph.goal_examples import goal_examples

        found: bool = super()._execute(pos_args)
        task = next((one for one in self.task_list if one.name in pos_args), None)
        if isinstance(task, OvTask) and (
            lines := goal_examples(task.name, step=isinstance(task, StepTask | AliasTask))
        ):
            width = max(map(len, lines))
            print("\nExamples:", *(f"  {line:<{width}}  {text}" for line, text in lines.items()), sep="\n")
        return found


class ForgetReceipts(Guarded, Forget):  # type: ignore[misc]
    """``doit forget``: also removes the receipts of our steps, because they decide, not doit's database.

    ``doit forget build:arch`` forgets that VM's own steps. Shared steps are forgotten by their own names or with
    ``-s``.
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


class DumpDB(DoitDumpDB):  # type: ignore[misc]
    """``doit dumpdb``: shows our database, too."""

    name = "dumpdb"

    def execute(self, opt_values: Any, pos_args: list[str]) -> int | None:
        """Print what is remembered about each task."""
        import glob

        streams.open_closed()  # before any file is opened
        path = Path(str(opt_values["dep_file"]))
        if str(path) == NO_DATABASE and not any(Path().glob(f"{NO_DATABASE}*")):
            path = Path(DEP_FILE)
        if not any(path.parent.glob(f"{glob.escape(path.name)}*")):  # dbm adds a suffix to the name
            hint = "one is made when a task of dodo.py runs; ov why shows receipts"
            raise InvalidCommand(f"there is no database {path}\n  hint: {hint}")
        if not _is_ours(path):
            return self._of_doit(opt_values, pos_args)
        streams.prepare()
        return said(_print_rows, path=str(path))

    def _of_doit(self, opt_values: Any, pos_args: list[str]) -> int | None:
        import dbm

        try:
            code: int | None = super().execute(opt_values, pos_args)
            return code
        except (*dbm.error, OSError, ValueError, AttributeError) as e:
            raise InvalidCommand(f"{opt_values['dep_file']} is not a database of doit: {e}") from None


def _is_ours(path: Path) -> bool:
    """Whether it is our kind of database. doit's own may be SQLite, too (its sqlite3 backend; dbm of Python 3.13)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            return False
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            tables = {name for (name,) in opened.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error:
        return True  # damaged: our code reports and mends it
    return not tables or TABLE in tables


def _print_rows(path: str) -> int:
    database = WalDB(path, None)
    for task, data in database.rows():
        print(f"{task} -> {pprint.pformat(data, indent=4, width=100)}")
    database.dump()
    return 0


def _steps(task: Any) -> list[Any]:
    if isinstance(task, StepTask):
        return [task.graph.step(task.name)]
    if isinstance(task, GoalTask):
        return [s for type in TYPES for s in task.graph.chain(task.vm, type) if not s.shared]
    return []

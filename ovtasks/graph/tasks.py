"""Steps as doit tasks."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from doit.exceptions import InvalidCommand, TaskFailed
from doit.task import Task

from ovtasks.errors import OvError
from ovtasks.graph.chains import IMAGE, Chain, Graph
from ovtasks.graph.display import Display, StepProgress
from ovtasks.graph.execute import execute, lock_file
from ovtasks.graph.last_run import timed
from ovtasks.graph.options import TYPES, build_params, image_params
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import Step
from ovtasks.graph.step_log import log_file
from ovtasks.host.files import flock
from ovtasks.host.oserrors import explaining
from ovtasks.host.patience import shown
from ovtasks.host.progress import Progress

BUILD = "build"
_GROUPS = {BUILD: "every VM's artifacts", "image": "every container image"}


class Fresh:
    """doit's ``uptodate`` for one step. doit inspects its signature each time, so it is kept ready here."""

    __signature__: ClassVar[inspect.Signature] = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("task", "values")]
    )

    def __call__(self, task: StepTask, values: object) -> bool:
        reading = StepProgress(task.display, f"{task.name}: reading what has another time or place", None)
        task.was_fresh = _heal(task.graph, task.name, reading)
        if task.was_fresh:
            task.graph.settled.add(task.name)
        return task.was_fresh

    def __repr__(self) -> str:
        return "receipt"


class Members(Fresh):
    """doit's ``uptodate`` for a task without work of its own: whether everything it stands for is fresh."""

    def __call__(self, task: OvTask, values: object) -> bool:
        return task.is_fresh()


def _heal(graph: Graph, name: str, progress: Progress | None = None) -> bool:
    """Whether a step is fresh. If the system refuses to tell, it is not: running it shows the error."""
    with contextlib.suppress(OSError):
        return graph.freshness(graph.step(name), heal=True, progress=progress).fresh
    with contextlib.suppress(OSError):  # a read-only folder: new times are not noted
        return graph.freshness(graph.step(name)).fresh
    return False


class OvTask(Task):  # type: ignore[misc]
    """What all our tasks have in common. ``graph`` is not sent to worker processes: they are forks and have it."""

    def __init__(self, graph: Graph, name: str, actions: list[Any] | None, **attributes: Any) -> None:
        self.graph = graph
        super().__init__(name, actions, **attributes)

    def is_fresh(self) -> bool:
        """Whether there is nothing to do. Asked after everything it needs is done."""
        return all(self.graph.settled.issuperset({name}) or _heal(self.graph, name) for name in self.task_dep)

    def reasons(self) -> list[str]:
        """Why there is something to do, in words for people."""
        return [f"{name} would run" for name in self.task_dep if not _heal(self.graph, name)]

    def take_options(self) -> None:
        """Use ``options``, which now hold what the command line says for this task.

        :raises OvError: an option is wrong.
        """

    def init_options(self, args: Any = None) -> Any:
        """doit calls this, more than once."""
        first = self.options is None
        rest = super().init_options(args)
        if first:
            try:
                self.take_options()
            except OvError as e:
                from ovtasks.errors.catalogue import told

                raise InvalidCommand(told(e)) from None
        return rest

    def pickle_safe_dict(self) -> dict[str, Any]:
        """What doit sends to a worker process: without the graph, the display and other tasks."""
        safe: dict[str, Any] = super().pickle_safe_dict()
        safe.pop("graph", None)
        safe.pop("display", None)
        safe.pop("members", None)
        return safe


class WorkTask(OvTask):
    """A task with work of its own, not only that of the tasks it needs."""

    def __init__(self, graph: Graph, name: str, display: Display, **attributes: Any) -> None:
        self.display = display
        super().__init__(graph, name, [_nothing], **attributes)

    def work(self) -> None:
        """Do the work.

        :raises OvError: it failed.
        """
        raise NotImplementedError

    def execute(self, stream: object) -> TaskFailed | None:
        """doit calls this. A user error becomes doit's failure, without a traceback."""
        self.executed = True
        try:
            self.work()
        except OvError as e:
            self.display.failures.append(e)
            from ovtasks.errors.catalogue import told

            return TaskFailed(told(e))
        self.graph.settled.add(self.name)
        return None


class StepTask(WorkTask):
    """The task of a step. The receipt decides whether it runs, not doit's database."""

    def __init__(self, graph: Graph, step: Step, display: Display) -> None:
        self.was_fresh = False
        super().__init__(
            graph,
            step.name,
            display,
            task_dep=list(step.needs),
            targets=[relative(target) for target in step.targets],
            uptodate=[Fresh()],
            doc=step.title,
            title=lambda task: f"{task.name}  {step.title}",
            subtask_of=step.verb,
            io={"capture": False},
        )

    def is_fresh(self) -> bool:
        return self.name in self.graph.settled or _heal(self.graph, self.name)

    def reasons(self) -> list[str]:
        return [str(reason) for reason in self.graph.status([self.graph.step(self.name)])[-1].reasons]

    def work(self) -> None:
        """Run the step."""
        step = self.graph.step(self.name)
        receipts: dict[str, Receipt] = {}
        for name, receipt in self.graph.receipts(step).items():
            if receipt is None:
                raise OvError(f"{name} has no result")
            receipts[name] = receipt
        graph = self.graph
        note = timed(graph.project.state, graph.locks, graph.run, step)
        with explaining(step.title), self.display.step(step) as progress, note, shown():
            log = log_file(graph.project.output, step.name)
            execute(step, receipts, graph.locks, progress, force=self.was_fresh, log=log)

    def clean(self, outstream: Any, dryrun: bool) -> None:
        """Remove the step's files, if no other VM shares them."""
        step = self.graph.step(self.name)
        if not step.shared:
            clean_steps([step], self.graph, outstream, self.name, dryrun)


class GoalTask(OvTask):
    """``build:<vm>``: depends on the steps of the disk format that the command line asks for."""

    def __init__(self, graph: Graph, vm: str) -> None:
        self.vm = vm
        super().__init__(
            graph,
            f"{BUILD}:{vm}",
            None,
            uptodate=[Members()],
            params=build_params(),
            doc=f"all artifacts of {vm}",
            subtask_of=BUILD,
        )

    @property
    def task_dep(self) -> list[str]:
        """The needed steps; computed on use, because options are parsed after the task is made."""
        return [step.name for step in self.graph.chain(self.vm)]

    @task_dep.setter
    def task_dep(self, value: list[str]) -> None:
        """Ignore the empty list that doit's constructor sets."""

    def take_options(self) -> None:
        """Apply the build options to this VM."""
        _override(self.graph, self.vm, self.options)

    def clean(self, outstream: Any, dryrun: bool) -> None:
        """``doit clean build:<vm>``: remove that VM's artifacts of every format, but nothing shared."""
        steps = [step for type in TYPES for step in self.graph.chain(self.vm, type) if not step.shared]
        clean_steps(steps, self.graph, outstream, self.name, dryrun)


class ImageGoal(GoalTask):
    """``image:<name>``: brings a declared container image to this machine."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.vm = name  # its chain has the same name
        verb, _, image = name.partition(":")
        doc = f"container image {image}"
        OvTask.__init__(self, graph, name, None, uptodate=[Members()], params=image_params(), doc=doc, subtask_of=verb)


class BrokenGoal(WorkTask):
    """A goal whose chain cannot be made. It is listed like others, and fails with the reason when it runs."""

    def __init__(self, graph: Graph, name: str, error: OvError, display: Display) -> None:
        self.error = error
        verb = name.partition(":")[0]
        params = build_params() if verb == BUILD else image_params() if name.startswith(IMAGE) else ()
        super().__init__(graph, name, display, params=params, doc=error.message, subtask_of=verb)

    def is_fresh(self) -> bool:
        return False

    def reasons(self) -> list[str]:
        return [str(self.error)]

    def work(self) -> None:
        raise self.error


class GroupTask(OvTask):
    """``build``, ``disk``, ``seed`` …: all tasks of a verb. Options of ``build`` are for all VMs."""

    def __init__(
        self, graph: Graph, verb: str, members: Iterable[OvTask], counted: Sequence[OvTask] | None = None
    ) -> None:
        """``counted`` are the members that a run without further words runs; None: all."""
        everything = list(members)
        self.members = everything if counted is None else list(counted)
        super().__init__(
            graph,
            verb,
            None,
            task_dep=[member.name for member in everything],
            uptodate=[Members()],
            has_subtask=True,
            params=build_params() if verb == BUILD else (),
            doc=_GROUPS.get(verb, f"every VM's {verb} step"),
        )

    def is_fresh(self) -> bool:
        return all(member.is_fresh() for member in self.members)

    def reasons(self) -> list[str]:
        return [f"{member.name} would run" for member in self.members if not member.is_fresh()]

    def take_options(self) -> None:
        """Apply the build options to every VM."""
        if self.name == BUILD:
            _override(self.graph, None, self.options)


class AliasTask(OvTask):
    """``fetch:<vm>``: the VM's name for a step that it shares, or for several of one verb (base images)."""

    def __init__(self, graph: Graph, verb: str, vm: str, steps: Sequence[Step]) -> None:
        self.vm = vm
        super().__init__(
            graph,
            f"{verb}:{vm}",
            None,
            task_dep=[step.name for step in steps],
            uptodate=[Members()],
            params=image_params() if f"{verb}:" == IMAGE else (),
            doc=steps[-1].title,
            subtask_of=verb,
        )

    def take_options(self) -> None:
        """Apply the build options to the VM that the alias is for."""
        if self.options:
            _override(self.graph, self.vm, self.options)


def tasks(
    graph: Graph, vms: Iterable[str], display: Display, types: Sequence[str] = TYPES, usual: Sequence[str] = TYPES
) -> Iterator[Task]:
    """The doit tasks of the given VMs and images (``image:<name>``), for the given disk formats.

    Groups come first, then goals, then steps. ``usual`` are the formats that count for the state of a group.
    """
    unusual = tuple(f":{type}" for type in types if type not in usual)
    groups: dict[str, list[OvTask]] = {BUILD: []}
    made: dict[str, OvTask] = {}
    for vm in vms:
        for task in _vm_tasks(graph, vm, display, types, made):
            made[task.name] = task
            groups.setdefault(task.name.partition(":")[0], []).append(task)
    for verb, members in groups.items():
        counted = [task for task in members if not (unusual and task.name.endswith(unusual))]
        yield GroupTask(graph, verb, members, counted)
    yield from made.values()


def _vm_tasks(
    graph: Graph, vm: str, display: Display, types: Sequence[str], made: dict[str, OvTask]
) -> Iterator[OvTask]:
    is_image = vm.startswith(IMAGE)
    try:
        with explaining(f"cannot look at {vm}"):
            chains: list[Chain] = [graph.chain(vm, type) for type in (types[:1] if is_image else types)]
    except OvError as e:
        yield BrokenGoal(graph, vm if is_image else f"{BUILD}:{vm}", e, display)
        return
    yield ImageGoal(graph, vm) if is_image else GoalTask(graph, vm)
    seen: set[str] = set()
    shared: dict[str, list[Step]] = {}
    for chain in chains:
        for step in chain:
            if step.name in seen:
                continue
            seen.add(step.name)
            if step.shared and "@" in step.name and not is_image:
                shared.setdefault(step.verb, []).append(step)
            if step.name not in made:
                yield StepTask(graph, step, display)
    for verb, steps in shared.items():
        yield AliasTask(graph, verb, vm, steps)


def relative(path: Path) -> str:
    """``path`` as a user writes it in a ``file_dep``: relative to the current folder if it lies below."""
    return str(path).removeprefix(f"{Path.cwd()}{os.sep}")


def clean_steps(steps: Sequence[Step], graph: Graph, outstream: Any, name: str, dryrun: bool) -> None:
    """Remove everything that the steps made, their receipts, and folders that are empty then.

    If a build works on one of them, wait for its end first.
    """
    with contextlib.ExitStack() as held:
        for path in dict.fromkeys(lock_file(graph.locks, step) for step in steps) if not dryrun else ():
            held.enter_context(flock(path, waiting=lambda who: outstream.write(f"{name} - waiting for {who}\n")))
        _remove(steps, graph.project.output, outstream, name, dryrun)


def _remove(steps: Sequence[Step], output: Path, outstream: Any, name: str, dryrun: bool) -> None:
    folders: set[Path] = set()
    for step in steps:
        receipt = Receipt.load(step.receipt)
        log = log_file(output, step.name)
        files = {log, *step.targets, step.receipt, step.marker, *(o.path for o in (receipt.outputs if receipt else ()))}
        for path in sorted(files):
            if os.path.lexists(path):
                outstream.write(f"{name} - removing file '{path}'\n")
                if not dryrun:
                    path.unlink()
                folders |= {path.parent, path.parent.parent}
        if step.tidy is not None and not dryrun:
            step.tidy()
    for folder in sorted(folders, reverse=True):
        if not dryrun and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _override(graph: Graph, vm: str | None, options: dict[str, object]) -> None:
    graph.options.set(vm, options)
    if vm is not None:
        graph.chain(vm)  # make it now: where doit asks for it, an error would be a traceback


def _nothing() -> None:
    """The action of our tasks: doit shows and runs only tasks with an action, but ours have ``work``."""

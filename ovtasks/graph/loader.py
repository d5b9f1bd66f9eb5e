"""Connects doit and the graph: doit's loader plugin, and ``load_tasks(globals())`` for a plain ``dodo.py``."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, TextIO

from doit.cmd_base import DodoTaskLoader
from doit.cmdparse import CmdOption, CmdParse, CmdParseError, TaskParse
from doit.exceptions import InvalidDodoFile
from doit.task import Task

from ovtasks.errors import InputError, InputErrors, OvError
from ovtasks.graph import manifest, plugins, verbs
from ovtasks.graph.chains import IMAGE, Graph
from ovtasks.graph.checker import ReceiptChecker
from ovtasks.graph.database import DEP_FILE, NOWHERE
from ovtasks.graph.display import Display
from ovtasks.graph.options import TYPES, OptionsByVm, build_params, image_params
from ovtasks.graph.reporter import OvReporter
from ovtasks.graph.surface import CREATOR, Guarded, guarded
from ovtasks.graph.tasks import BUILD, BrokenGoal, tasks
from ovtasks.host.oserrors import explaining
from ovtasks.project.load import load_project
from ovtasks.project.model import Project

DEPLOY = "deploy"
"""The verb whose tasks are called after deployments, not after VMs."""


def doit_config() -> dict[str, object]:
    """Settings that make doit safe for long builds. The user's ``DOIT_CONFIG`` wins, key by key."""
    return {
        "backend": "ovtasks",
        "dep_file": DEP_FILE,
        "check_file_uptodate": ReceiptChecker,
        "par_type": "thread",
        "reporter": OvReporter,
        "verbosity": 2,
    }


def install(namespace: dict[str, object]) -> None:
    """Add our settings and one task creator to a ``dodo.py``'s namespace, for doit's own loader."""
    config = namespace.setdefault("DOIT_CONFIG", {})
    assert isinstance(config, dict)
    settings = {**doit_config(), "default_tasks": default_tasks(namespace)}
    if not _is_installed():  # doit finds our database by its entry point; its own serves the user's tasks
        del settings["backend"], settings["dep_file"]
    for key, value in settings.items():
        config.setdefault(key, value)
    root = Path(str(namespace["__file__"])).resolve().parent

    def create() -> Iterator[Task]:
        """VMs of vms.yml."""
        graph = Graph(_load(root, sys.argv[1:], _own_names(namespace)))
        note_options(graph, sys.argv[1:])  # doit's loader does not tell a creator what was asked for
        display = Display()
        yield from tasks(graph, [*owners(graph.project), *wrong(graph.project)], display)
        yield from verb_tasks(graph, [*graph.project.vms, *wrong(graph.project)], display)

    namespace[CREATOR] = create


def _is_installed() -> bool:
    """Whether this package is installed, and not only found on the path."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("ovtasks")
    except PackageNotFoundError:
        return False
    return True


def default_tasks(namespace: Mapping[str, object]) -> list[str]:
    """What plain ``doit`` runs: every VM's build and the tasks of ``dodo.py``, but no verb such as ``destroy``.

    A task function that names its tasks itself (``basename``) is left out. List such tasks in ``default_tasks`` of
    ``DOIT_CONFIG``.
    """
    return [*_own_names(namespace), BUILD]


def _own_names(namespace: Mapping[str, object]) -> list[str]:
    """The names of the user's own tasks, as far as their functions' names tell."""
    return [
        name.removeprefix("task_")
        for name, value in namespace.items()
        if name.startswith("task_") and name != CREATOR and inspect.isfunction(value) and not _names_itself(value)
    ]


def _names_itself(function: FunctionType) -> bool:
    return "basename" in function.__code__.co_consts or any(
        isinstance(constant, tuple) and "basename" in constant for constant in function.__code__.co_consts
    )


def verb_tasks(graph: Graph, vms: Sequence[str], display: Display) -> Iterator[Task]:
    """The tasks for verbs beyond building a VM. Those of a VM that cannot be built fail with the reason."""
    able: list[str] = []
    broken: dict[str, OvError] = {}
    for vm in vms:
        try:
            graph.chain(vm)
        except OvError as e:
            broken[vm] = e
        else:
            able.append(vm)
    made = list(verbs.verb_tasks(graph, able, display))
    yield from made
    groups = [task.name for task in made if task.has_subtask and task.name != DEPLOY]
    for vm, error in broken.items():
        for verb in groups if not vm.startswith(IMAGE) else ():
            yield BrokenGoal(graph, f"{verb}:{vm}", error, display)


class OvLoader(DodoTaskLoader):  # type: ignore[misc]
    """Loads ``dodo.py`` if there is one, and from ``vms.yml`` only the VMs that the command line names."""

    def __init__(
        self, display: Display | None = None, project: Project | None = None, out: TextIO | None = None
    ) -> None:
        super().__init__()
        self._began_ns = time.time_ns()
        self.namespace: dict[str, Any] = {}
        self.display = display or Display()
        self._out = out
        self.graph: Graph | None = None
        self._project = project
        self._root = Path.cwd()

    def setup(self, opt_values: dict[str, Any]) -> None:
        """Read ``dodo.py`` if there is one; otherwise the current folder is the project."""
        dodo = Path(opt_values["dodoFile"])
        if self._project is None and (dodo.exists() or opt_values["seek_file"] or opt_values["dodoFile"] != "dodo.py"):
            super().setup(opt_values)
            self._root = Path(str(self.namespace["__file__"])).parent
        else:
            if opt_values["cwdPath"]:
                os.chdir(opt_values["cwdPath"])
                self._root = Path.cwd()

    def load_doit_config(self) -> dict[str, object]:
        """Settings of doit: ours, then those of ``pyproject.toml`` and ``dodo.py``, which win."""
        config = {**doit_config(), "default_tasks": default_tasks(self.namespace), **super().load_doit_config()}
        if self._project is not None:
            config["dep_file"] = NOWHERE
        return {**config, "outfile": self._out} if self._out else config

    def load_tasks(self, cmd: Any, pos_args: list[str]) -> list[Task]:
        """The tasks of ``dodo.py``, and ours for the goals that the command line names."""
        if not isinstance(cmd, Guarded):  # a command of doit or of another plugin
            cmd._execute = guarded(cmd, cmd._execute, pos_args)
        with _no_collection():
            return self._load_tasks(cmd, pos_args)

    def _load_tasks(self, cmd: Any, pos_args: list[str]) -> list[Task]:
        self.namespace = {name: value for name, value in self.namespace.items() if name != CREATOR}
        own: list[Task] = super().load_tasks(cmd, pos_args)
        project = self._project or _load(self._root, pos_args, [task.name for task in own])
        self.graph = Graph(project, OptionsByVm())
        note_options(self.graph, pos_args)
        if manifest.launched == pos_args and cmd.execute_tasks:
            from ovtasks.graph.doit_manifest import save_doit_manifest

            self.graph.finished = functools.partial(save_doit_manifest, self.graph, pos_args, self._began_ns)
        chosen = _with_needs(selected(pos_args, project), own, project)
        only_qcow2 = cmd.execute_tasks and not any("raw" in word or "*" in word for word in pos_args)
        types = TYPES[:1] if only_qcow2 else TYPES
        made = own + list(tasks(self.graph, chosen, self.display, types, TYPES[:1]))
        if own or not only_builds(pos_args):
            vms = [name for name in chosen if not name.startswith(IMAGE)]
            made += verb_tasks(self.graph, vms, self.display)
        return made


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause garbage collection: looking for garbage among thousands of tasks takes longer than making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def note_options(graph: Graph, words: Sequence[str]) -> None:
    """Tell ``graph`` the options that a command line gives with ``build`` and ``build:<vm>``.

    Some of them decide which steps there are, and doit parses them only after its tasks are made. It then reports what
    is wrong with them.
    """
    rest = list(words)
    while rest:
        verb, colon, vm = rest.pop(0).partition(":")
        if verb != BUILD or (colon and vm not in graph.project.vms):
            continue
        with contextlib.suppress(CmdParseError, InputError):
            values, rest = TaskParse([CmdOption(option) for option in build_params()]).parse(rest)
            graph.options.set(vm or None, values)


def owners(project: Project) -> list[str]:
    """Everything that has a chain: VMs, and images as ``image:<name>``."""
    return [*project.vms, *(f"{IMAGE}{name}" for name in project.images)]


def only_builds(words: Sequence[str]) -> bool:
    """Whether a command line needs builds only; then the verbs' modules are not loaded."""
    return bool(words) and all(word.startswith((f"{BUILD}:", IMAGE, "-")) for word in words)


def selected(words: Sequence[str], project: Project) -> list[str]:
    """Whose chains a command line needs; empty if it may be any (a group, a pattern, an unknown word)."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        owner = _owner_of(word, project)
        if owner is None:
            return []
        found.append(owner)
        if word.startswith((f"{BUILD}:", IMAGE)):
            params = build_params() if word.startswith(f"{BUILD}:") else image_params()
            try:
                _, rest = TaskParse([CmdOption(option) for option in params]).parse(rest)
            except CmdParseError:
                return []  # doit reports what is wrong with it
    return list(dict.fromkeys(found))


def _with_needs(chosen: list[str], own: Sequence[Task], project: Project) -> list[str]:
    """``chosen``, and what the user's ``own`` tasks depend on: doit wants all of that to exist. Empty: everything."""
    names = {task.name for task in own}
    needs = {name for task in own for name in (*task.task_dep, *task.setup_tasks) if name not in names}
    needed = [_owner_of(name, project) or _wrong_owner(name, project) for name in sorted(needs)]
    if not chosen or None in needed or any(task.wild_dep for task in own):
        return [*owners(project), *wrong(project)]
    return list(dict.fromkeys([*chosen, *(one for one in needed if one is not None)]))


def _owner_of(word: str, project: Project) -> str | None:
    """``arch`` of ``disk:arch``, ``seed:arch:raw`` or ``output/arch/qcow2/disk.qcow2``; ``image:desktop`` as it is."""
    verb, colon, rest = word.partition(":")
    if word.startswith(IMAGE) and rest in project.images:
        return word
    if verb == DEPLOY and rest in project.deployments:
        return project.deployments[rest].vm
    if colon and verb.isidentifier():
        name = rest.partition(":")[0]
        return name if name in project.vms else None
    parts = Path(word).parts
    if len(parts) > 2 and parts[0] == "output" and parts[1] in project.vms:
        return parts[1]
    return None


def wrong(project: Project) -> list[str]:
    """The VMs and images that have a mistake."""
    return [name for name in project.wrong if not name.startswith(f"{DEPLOY}:")]


def _wrong_owner(word: str, project: Project) -> str | None:
    """Whose task ``word`` is, if that has a mistake."""
    name = word if word.startswith(IMAGE) else word.partition(":")[2].partition(":")[0]
    return name if name in project.wrong else None


def _goals(words: Sequence[str]) -> list[str]:
    """A command line of ``doit run`` without the options before its goals."""
    from doit.cmd_run import Run

    options = (*Run.base_options, *DodoTaskLoader.cmd_options, *Run.cmd_options)
    with contextlib.suppress(CmdParseError):
        _, words = CmdParse([CmdOption(one) for one in options]).parse(list(words[words[:1] == ["run"] :]))
    return list(words)


def _load(root: Path, words: Sequence[str], own: Collection[str]) -> Project:
    """The project. If ``words`` ask for VMs that are right, or for ``own`` tasks of the user, mistakes are warnings."""
    try:
        with explaining("cannot read the project"):
            project = load_project(root, kinds=plugins.schema, tolerant=True)
            if project.mistakes:
                from ovtasks.project.mistakes import warnings

                goals = _goals(words)
                others = [word for word in goals if word not in own]
                if not goals or (others and not selected(others, project)):
                    raise InputErrors(project.mistakes)
                for text in warnings(project):
                    print(text, file=sys.stderr)
            return project
    except OvError as e:
        from ovtasks.errors.catalogue import told

        raise InvalidDodoFile(told(e)) from None

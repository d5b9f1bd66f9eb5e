"""What several commands share: the project, the goals, the build options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ovtasks.cli.streams import output_json
from ovtasks.errors import InputError
from ovtasks.graph import plugins
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.options import PARAMS, TYPES, Overrides
from ovtasks.graph.step import Step
from ovtasks.project.load import find_root, load_project
from ovtasks.project.model import Project

if TYPE_CHECKING:
    from ovtasks.instance.record import Record


GOAL_VERBS = frozenset({"build", "define", "create"})
"""What comes after all of a VM's steps."""


def open_project(args: argparse.Namespace) -> Project:
    """The project that ``-C`` or the current folder is in.

    :raises InputError: there is none, or its files are wrong.
    """
    return load_project(find_root(args.directory.absolute()), kinds=plugins.schema)


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """The options that ``doit build:x`` takes too."""
    for param in PARAMS:
        option = f"--{param['long']}"
        if param["type"] is bool:
            parser.add_argument(option, action="store_true", help=str(param["help"]))
        else:
            parser.add_argument(option, metavar=str(param["long"]).rpartition("-")[2].upper(), help=str(param["help"]))


def build_words(args: argparse.Namespace) -> list[str]:
    """The options of ``args`` as they stand behind a goal of doit."""
    words = []
    for param in PARAMS:
        if value := getattr(args, str(param["name"]), None):
            words.append(f"--{param['long']}" if param["type"] is bool else f"--{param['long']}={value}")
    return words


def open_graph(args: argparse.Namespace, project: Project) -> Graph:
    """The project's graph under the build options of ``args``."""
    overrides = Overrides()
    overrides.set(None, vars(args))
    return Graph(project, overrides)


def chains_of(graph: Graph, vms: Sequence[str]) -> list[Chain]:
    """The chains of the named VMs, or of all that can be built."""
    if vms:
        return [graph.chain(vm) for vm in dict.fromkeys(vms)]
    chains: list[Chain] = []
    problems: list[InputError] = []
    for vm in graph.project.vms:
        try:
            chains.append(graph.chain(vm))
        except InputError as e:
            problems.append(e)
    if problems and not chains:
        raise problems[0]
    return chains


def goals(graph: Graph, words: Sequence[str]) -> tuple[list[Chain], list[Step]]:
    """What ``arch``, ``build:arch`` or ``disk:arch`` stand for; no words: every VM.

    :raises InputError: a word names no VM and no step.
    """
    if not words:
        everything = chains_of(graph, [])
        return everything, [step for chain in everything for step in chain]
    chains: list[Chain] = []
    steps: list[Step] = []
    for word in words:
        verb, colon, vm = word.partition(":")
        if not colon or verb in GOAL_VERBS:
            chain = graph.chain(vm if colon else word)
            chains.append(chain)
            steps += chain.steps
        else:
            steps.append(graph.find(word))
            owner = vm.partition(":")[0]
            chains += [graph.chain(owner)] if owner in graph.project.vms else []
            chains += [graph.chain(word)] if verb == "image" and vm in graph.project.images else []
    return chains, steps


class Notes:
    """Lines for people, on stderr; the :class:`ovtasks.host.progress.Progress` of verbs that are quick."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def note(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Nothing here takes long enough to be counted."""


def note(args: argparse.Namespace) -> Notes:
    """Where a verb says what it does; silent with ``-q``."""
    return Notes(args.quiet)


def add_instance(parser: argparse.ArgumentParser) -> None:
    """``NAME`` and ``-i``."""
    parser.add_argument("vm", metavar="NAME")
    parser.add_argument("-i", "--instance", metavar="INSTANCE", help="a further VM of NAME, with a disk of its own")


def declared(args: argparse.Namespace) -> Collection[str]:
    """The VMs of the project at hand, if there is one."""
    try:
        return open_project(args).vms
    except InputError:
        return ()


def find_record(args: argparse.Namespace) -> Record:
    """The instance that the command line names.

    :raises InputError: it does not exist.
    """
    from ovtasks.instance.find import find, look

    return look(args.vm, args.instance) or find(args.vm, args.instance, declared=declared(args))


__all__ = ["TYPES", "add_build_options", "chains_of", "goals", "open_graph", "open_project", "output_json"]

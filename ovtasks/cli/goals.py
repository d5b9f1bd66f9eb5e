"""The project's graph and the goals in it, for the commands that build or explain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ovtasks.cli.parser import suggest
from ovtasks.errors import InputError
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.options import OptionsByVm, build_options
from ovtasks.graph.step import Step
from ovtasks.project.model import Project

GOAL_VERBS = frozenset({"build", "define", "create"})
"""Goals that come after all of a VM's steps."""
OPTION = "option_"
"""The prefix of build options among the parsed arguments, so that a plugin's option hides no other."""


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Add the build options, which ``doit build:x`` takes too."""
    for option in build_options():
        name, dest = f"--{option.name}", OPTION + option.dest
        text = option.help.replace("%", "%%")  # argparse formats the text
        try:
            if option.switch:
                parser.add_argument(name, dest=dest, action="store_true", help=text)
            else:
                metavar = option.name.rpartition("-")[2].upper()
                suggest(parser.add_argument(name, dest=dest, metavar=metavar, help=text), option.words)
        except argparse.ArgumentError as e:  # the plugin's author chose a name of ours
            hint = "the plugin that declares it has to give it another name"
            raise InputError(f"{name} is an option of ov already", hint=hint) from e


def build_words(args: argparse.Namespace) -> list[str]:
    """The options of ``args`` as words after a goal of doit."""
    words = []
    for option in build_options():
        if value := getattr(args, OPTION + option.dest, None):
            words.append(f"--{option.name}" if option.switch else f"--{option.name}={value}")
    return words


def open_graph(args: argparse.Namespace, project: Project) -> Graph:
    """The project's graph with the build options of ``args``."""
    options = OptionsByVm()
    options.set(None, {option.dest: getattr(args, OPTION + option.dest, None) for option in build_options()})
    return Graph(project, options)


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
    """The goals that words such as ``arch``, ``build:arch`` or ``disk:arch`` mean; every VM if there are no words.

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

"""``ov vm build``: the VMs' artifacts."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovtasks.cli.build import note_built, run_goals
from ovtasks.cli.common import open_project
from ovtasks.cli.goals import add_build_options, build_words, chains_of, open_graph
from ovtasks.errors import EXIT_DONE
from ovtasks.graph.manifest import asked

if TYPE_CHECKING:
    from ovtasks.graph.chains import Chain, Graph


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm build``."""
    parser.description = (
        "Build the named VMs if they are stale (default: all), and print the artifacts' paths, one per line."
    )
    parser.add_argument("vms", nargs="*", metavar="VM", help="the VMs (default: all)")
    add_build_options(parser)
    parser.add_argument("-n", "--jobs", type=int, default=1, metavar="N", help="run N steps at once")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="continue with other VMs after a failure")
    parser.add_argument(
        "--reporter",
        choices=("text", "json"),
        default="text",
        help="json: print one JSON object per line on stdout (schemas/events.schema.json)",
    )
    parser.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> int:
    """Build through doit; stdout gets the artifacts' paths and nothing else."""
    loaded_ns = time.time_ns()
    project = open_project(args, args.vms)
    graph = open_graph(args, project)
    chains = chains_of(graph, args.vms)
    options = ["-n", str(args.jobs)] if args.jobs > 1 else []
    options += ["--continue"] if args.go_on else []
    if args.reporter == "json":
        return _told_as_json(graph, chains, _goals(args), options)
    code = run_goals(graph, _goals(args), quiet=args.quiet, options=options)
    if code != EXIT_DONE:
        return code
    artifacts = [path for chain in chains for path in chain.artifacts]
    if (wanted := asked(args.words)) is not None:
        note_built(graph, chains, wanted.words, loaded_ns)
    sys.stdout.writelines(f"{_short(path)}\n" for path in artifacts)
    return EXIT_DONE


def _told_as_json(graph: Graph, chains: Sequence[Chain], goals: Sequence[str], options: Sequence[str]) -> int:
    from ovtasks.graph.events import EventDisplay

    display = EventDisplay(sys.stdout)
    if (code := run_goals(graph, goals, options=options, display=display)) == EXIT_DONE:
        display.tell("artifacts", paths=[str(path) for chain in chains for path in chain.artifacts])
    return code


def _goals(args: argparse.Namespace) -> list[str]:
    options = build_words(args)
    goals = [f"build:{vm}" for vm in dict.fromkeys(args.vms)] or ["build"]
    return [word for goal in goals for word in (goal, *options)]


def _short(path: os.PathLike[str]) -> str:
    """The path relative to the current folder, if it lies below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

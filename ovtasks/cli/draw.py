"""``ov graph``: the graph as text or picture."""

from __future__ import annotations

import argparse
import sys

from ovtasks.cli.common import open_project
from ovtasks.cli.goals import add_build_options, goals, open_graph
from ovtasks.errors import EXIT_DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov graph``."""
    parser.description = (
        "Print the graph of steps with a legend: as SVG, in Graphviz's language (dot), or in Mermaid's. "
        "SVG needs no other program."
    )
    parser.add_argument("goals", nargs="*", metavar="GOAL", help="arch, build:arch (default: every VM)")
    add_build_options(parser)
    parser.add_argument("--format", choices=("dot", "mermaid", "svg"), default="dot", help="default: dot")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the graph; fresh, maybe and run have colours."""
    from ovtasks.graph.draw import dot, drawing, mermaid
    from ovtasks.graph.svg import svg

    graph = open_graph(args, open_project(args, args.goals))
    chains, steps = goals(graph, args.goals)
    formats = {"dot": dot, "mermaid": mermaid, "svg": svg}
    sys.stdout.write(formats[args.format](drawing(chains, graph.status(steps))))
    return EXIT_DONE

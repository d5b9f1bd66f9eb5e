"""Draws the graph: as text for Graphviz or Mermaid, or as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ovtasks.graph.chains import Chain, Graph, StepState, StepStatus
from ovtasks.host.run import run

COLOURS = {StepState.FRESH: "#d8efd3", StepState.MAYBE: "#fdf0c4", StepState.RUN: "#f9d4c9"}


def edges(graph: Graph, chains: Sequence[Chain]) -> list[tuple[str, str]]:
    """Pairs of a needed and a needing step, in order. ``build:<vm>`` needs the steps that nothing else needs."""
    pairs: list[tuple[str, str]] = []
    for chain in chains:
        needed = {need for step in chain for need in step.needs}
        pairs += [(need, step.name) for step in chain for need in step.needs]
        pairs += [(step.name, f"build:{chain.vm}") for step in chain if step.name not in needed]
        pairs += pairwise(goals(chain))
    return list(dict.fromkeys(pairs))


def goals(chain: Chain) -> list[str]:
    """The goals after all steps: the VM is built, defined, running."""
    return [f"{verb}:{chain.vm}" for verb in ("build", "define", "create")]


def dot(graph: Graph, chains: Sequence[Chain], statuses: Sequence[StepStatus]) -> str:
    """The graph in Graphviz's language."""
    lines = ["digraph ovtasks {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for status in statuses:
        label = _quote(f"{status.step.name}\n{status.step.title}")
        lines.append(f'  {_quote(status.step.name)} [label={label}, fillcolor="{COLOURS[status.state]}"];')
    for chain in chains:
        lines += [f'  {_quote(goal)} [fillcolor="#e0e0e0"];' for goal in goals(chain)]
    lines += [f"  {_quote(before)} -> {_quote(after)};" for before, after in edges(graph, chains)]
    return "\n".join([*lines, "}"]) + "\n"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def mermaid(graph: Graph, chains: Sequence[Chain], statuses: Sequence[StepStatus]) -> str:
    """The graph in Mermaid's flowchart language."""
    names = [s.step.name for s in statuses] + [goal for chain in chains for goal in goals(chain)]
    ids = {name: f"n{i}" for i, name in enumerate(names)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[name]}["{name.replace(chr(34), "#quot;")}"]' for name in names]
    lines += [f"  {ids[before]} --> {ids[after]}" for before, after in edges(graph, chains)]
    lines += [f"  style {ids[s.step.name]} fill:{COLOURS[s.state]}" for s in statuses]
    return "\n".join(lines) + "\n"


def svg(graph: Graph, chains: Sequence[Chain], statuses: Sequence[StepStatus]) -> str:
    """The graph as SVG, drawn by the program ``dot``.

    :raises MissingProgramError: Graphviz is not installed.
    """
    return run(["dot", "-Tsvg"], stdin=dot(graph, chains, statuses).encode()).stdout


FORMATS = {"dot": dot, "mermaid": mermaid, "svg": svg}

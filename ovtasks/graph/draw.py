"""The graph as boxes and edges, and as text for Graphviz or Mermaid. :mod:`ovtasks.graph.svg` draws it itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ovtasks.graph.chains import IMAGE, Chain, StepState, StepStatus
from ovtasks.graph.layout import Edge
from ovtasks.graph.step import Step

COLOURS = {StepState.FRESH: "#d8efd3", StepState.MAYBE: "#fdf0c4", StepState.RUN: "#f9d4c9"}
GOAL_COLOUR = "#e0e0e0"
LEGEND = {
    StepState.FRESH: "fresh: stays as it is",
    StepState.MAYBE: "maybe: a step before it runs and may come out the same",
    StepState.RUN: "run: will be made",
}
GOAL_LEGEND = "a goal: build, define or create"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: the steps, and for each VM its lane, which holds them and its goals, needs first.

    A step that several VMs share stands in the lane of the first of them.
    """

    statuses: Mapping[str, StepStatus]
    lanes: tuple[tuple[str, ...], ...]
    edges: tuple[Edge, ...]


def drawing(chains: Sequence[Chain], statuses: Sequence[StepStatus]) -> Drawing:
    """What to draw of ``statuses``, the steps of ``chains`` and what they need. Each goal needs those before it.

    ``build:<vm>`` needs the VM's steps that none of its other steps needs.
    """
    found = {status.step.name: status for status in statuses}
    order = {name: number for number, name in enumerate(found)}
    edges = [(need, name) for name, status in found.items() for need in status.step.needs]
    lanes: list[tuple[str, ...]] = []
    placed: set[str] = set()
    for chain in {chain.vm: chain for chain in chains}.values():
        shown = [step for step in chain if step.name in found]
        own = _with_needs(shown, found) - placed
        placed |= own
        ends = goals(chain)
        lanes.append((*sorted(own, key=order.__getitem__), *ends))
        if ends:
            needed = {need for step in shown for need in step.needs}
            edges += [(step.name, ends[0]) for step in shown if step.name not in needed]
            edges += pairwise(ends)
    return Drawing(found, tuple(lanes), tuple(dict.fromkeys(edges)))


def _with_needs(steps: Sequence[Step], found: Mapping[str, StepStatus]) -> set[str]:
    """The names of ``steps`` and of all that they need."""
    wanted: set[str] = set()
    todo = [step.name for step in steps]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += found[name].step.needs
    return wanted


def goals(chain: Chain) -> list[str]:
    """The goals after all steps: the VM is built, defined, running. A container image has none."""
    if chain.vm.startswith(IMAGE):
        return []
    return [f"{verb}:{chain.vm}" for verb in ("build", "define", "create")]


def dot(drawn: Drawing) -> str:
    """The graph in Graphviz's language."""
    lines = ["digraph ovtasks {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for status in drawn.statuses.values():
        label = _quote(f"{status.step.name}\n{status.step.title}")
        lines.append(f'  {_quote(status.step.name)} [label={label}, fillcolor="{COLOURS[status.state]}"];')
    lines += [f'  {_quote(goal)} [fillcolor="{GOAL_COLOUR}"];' for goal in _goals_of(drawn)]
    lines += [f"  {_quote(before)} -> {_quote(after)};" for before, after in drawn.edges]
    lines += ["  subgraph cluster_legend {", '    label="Legend"; style=dashed; fontname="sans-serif";']
    lines += [f"    {_quote(text)} [fillcolor={_quote(colour)}];" for text, colour in _legend()]
    return "\n".join([*lines, "  }", "}"]) + "\n"


def _legend() -> list[tuple[str, str]]:
    return [*((LEGEND[state], COLOURS[state]) for state in StepState), (GOAL_LEGEND, GOAL_COLOUR)]


def _goals_of(drawn: Drawing) -> Iterator[str]:
    return (name for lane in drawn.lanes for name in lane if name not in drawn.statuses)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def mermaid(drawn: Drawing) -> str:
    """The graph in Mermaid's flowchart language."""
    names = [*drawn.statuses, *_goals_of(drawn)]
    ids = {name: f"n{i}" for i, name in enumerate(names)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[name]}["{name.replace(chr(34), "#quot;")}"]' for name in names]
    lines += [f"  {ids[before]} --> {ids[after]}" for before, after in drawn.edges]
    lines += [f"  style {ids[name]} fill:{COLOURS[status.state]}" for name, status in drawn.statuses.items()]
    lines += ["  subgraph legend"]
    lines += [f'    l{i}["{text}"]' for i, (text, _) in enumerate(_legend())]
    lines += ["  end", *(f"  style l{i} fill:{colour}" for i, (_, colour) in enumerate(_legend()))]
    return "\n".join(lines) + "\n"

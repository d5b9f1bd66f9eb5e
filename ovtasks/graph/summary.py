"""The end of a run in a few lines: what was done and what was fresh, what decided the time, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovtasks.graph.chains import Graph
from ovtasks.graph.last_run import Outcome, RanStep, critical_path, last_run
from ovtasks.graph.receipt import Receipt
from ovtasks.values.durations import format_taken

MOST_FRESH = 1000
"""With more fresh steps their receipts are not read: that would take longer than it is worth."""
WORTH = 1.0
"""Seconds below which a time is not worth mentioning."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed, and the message."""

    task: str
    message: str


def summary(
    ran: Sequence[RanStep], fresh: int, saved: float, failures: Sequence[Failure], *, working: int = 0
) -> list[str]:
    """The lines to print. ``saved`` is how many seconds the fresh steps took when they ran; 0: unknown.
    ``working`` is how many steps are at work still, since the run was interrupted.

    Several failures are printed again, since other steps have run after the first one.
    """
    done = sum(one.outcome == Outcome.DONE.value for one in ran)
    parts = [f"{done} done"]
    if fresh:
        parts.append(f"{fresh} fresh" + (f" ({format_taken(saved)} saved)" if saved >= WORTH else ""))
    if failures:
        parts.append(f"{len(failures)} failed")
    failed = {one.task for one in failures}  # a step whose program we ended ends with an error that nobody is told
    if stopped := working + sum(one.outcome != Outcome.DONE and one.step not in failed for one in ran):
        parts.append(f"{stopped} stopped")
    lines = [", ".join(parts)]
    path = critical_path(ran)
    taken = sum(one.seconds for one in path)
    if len(path) > 1 and taken >= WORTH:
        way = " → ".join(f"{one.step} {format_taken(one.seconds)}" for one in path if one.seconds >= WORTH / 10)
        lines.append(f"critical path {format_taken(taken)}: {way}")
    if len(failures) > 1:
        lines += [f"failed: {one.task}: {one.message}" for one in failures]
    return lines


def run_of(graph: Graph) -> list[RanStep]:
    """The steps that this run has run."""
    return [one for one in last_run(graph.project.state) if one.run == graph.run]


def saved_by(graph: Graph, steps: Sequence[str]) -> float:
    """How many seconds these fresh steps took when they ran, by their receipts."""
    if len(steps) > MOST_FRESH:
        return 0.0
    receipts = [Receipt.load(graph.step(name).receipt) for name in steps]
    return sum(receipt.duration for receipt in receipts if receipt is not None)

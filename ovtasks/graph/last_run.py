"""What the last run of steps did and when: a line a step in ``output/.ov/last-run.jsonl``. Nothing depends on it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.graph.step import Step
from ovtasks.host.files import create, discard, flock
from ovtasks.host.state import read_state
from ovtasks.values.jsonvalue import need, parse

MAX_BYTES = 64 << 20

_begun: set[tuple[Path, str]] = set()
"""The files that this process has found to be of a run, or made so."""


class Outcome(StrEnum):
    """How a step ended. ``STOPPED``: the run was interrupted."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RanStep:
    """A step that ran. ``run`` names the run; ``started`` is in seconds since the epoch."""

    run: str
    step: str
    title: str
    needs: tuple[str, ...]
    started: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        """Seconds since the epoch."""
        return self.started + self.seconds


def new_run() -> str:
    """A name for a run of this process and of those that it forks."""
    return f"{time.time():.6f}-{os.getpid()}"


@contextlib.contextmanager
def timed(state: Path, locks: Path, run: str, step: Step) -> Iterator[None]:
    """Note that ``step`` runs inside the block, how long, and how it ends. ``state`` is the project's own folder."""
    started, outcome = time.time(), Outcome.STOPPED
    try:
        yield
        outcome = Outcome.DONE
    except (OvError, OSError):
        outcome = Outcome.FAILED
        raise
    finally:
        ran = RanStep(run, step.name, step.title, step.needs, started, time.time() - started, outcome.value)
        with contextlib.suppress(OSError, OvError):  # a full disk: the step's own error counts
            _append(_file(state), locks, ran)


def _file(state: Path) -> Path:
    return state / "last-run.jsonl"


def _append(path: Path, locks: Path, ran: RanStep) -> None:
    """Add a line. What an earlier run wrote goes first."""
    with flock(locks / path.name):
        if (path, ran.run) not in _begun and next(_read(path), ran).run != ran.run:
            discard(path)
        _begun.add((path, ran.run))
        with create(path, append=True) as file:
            file.write(json.dumps(asdict(ran)).encode() + b"\n")


def last_run(state: Path) -> tuple[RanStep, ...]:
    """The steps of the last run, in the order of their ends; empty if nothing is known. Broken lines are left out."""
    found = [*_read(_file(state))]
    latest = max(found, key=lambda ran: ran.started, default=None)
    return tuple(ran for ran in found if latest is not None and ran.run == latest.run)


def _read(path: Path) -> Iterator[RanStep]:
    try:
        data = read_state(path, limit=MAX_BYTES)
    except OvError:
        return
    for line in (data or b"").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
            one = need(parse(line), dict)
            run, step, title, outcome = (need(one[key], str) for key in ("run", "step", "title", "outcome"))
            started, seconds = (float(need(one[key], int, float)) for key in ("started", "seconds"))
            needs = tuple(need(name, str) for name in need(one["needs"], list))
            yield RanStep(run, step, title, needs, started, seconds, Outcome(outcome).value)


def critical_path(ran: Sequence[RanStep]) -> tuple[RanStep, ...]:
    """The longest way through the run: no order of its steps could have ended sooner, on however many processors."""
    by_name = {one.step: one for one in ran}
    best: dict[str, tuple[float, str | None]] = {}
    for one in sorted(by_name.values(), key=lambda one: one.started):  # what a step needs has started before it
        before = max((need for need in one.needs if need in best), key=lambda need: best[need][0], default=None)
        best[one.step] = (one.seconds + (best[before][0] if before else 0.0), before)
    way: list[RanStep] = []
    name = max(best, key=lambda name: best[name][0], default=None)
    while name is not None:
        way.insert(0, by_name[name])
        name = best[name][1]
    return tuple(way)

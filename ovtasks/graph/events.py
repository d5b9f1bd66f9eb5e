"""A build told as JSON: an object a line on stdout, for programs (``ov vm build --reporter json``).

``schemas/events.schema.json`` describes the lines.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from ovtasks.errors import OvError
from ovtasks.graph.display import Cancelled, Display, StepProgress
from ovtasks.graph.last_run import Outcome, RanStep, critical_path
from ovtasks.graph.step import Step
from ovtasks.graph.summary import Failure
from ovtasks.values.jsonvalue import Json

PROGRESS_SECONDS = 1.0
"""The least time between two lines about one step's progress."""


class EventDisplay(Display):
    """Tells what runs in lines of JSON; people see errors only."""

    always = True

    def __init__(self, out: TextIO) -> None:
        super().__init__(quiet=True)
        self._out = out
        self._write = threading.Lock()

    def tell(self, event: str, **values: Json) -> None:
        """Write one line."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values})
        with self._write:
            print(line, file=self._out, flush=True)

    @contextlib.contextmanager
    def step(self, step: Step) -> Iterator[StepProgress]:
        """Tell of the step's start and end."""
        self.started += 1
        began = time.monotonic()
        self.tell("start", step=step.name, title=step.title)
        outcome, error = Outcome.STOPPED, None
        try:
            yield EventProgress(self, step)
            outcome = Outcome.DONE
        except OvError as e:
            outcome, error = Outcome.FAILED, e
            raise
        finally:
            found: dict[str, Json] = {"message": error.message, "hint": error.hint} if error is not None else {}
            seconds = round(time.monotonic() - began, 3)
            self.tell("end", step=step.name, outcome=outcome.value, seconds=seconds, **found)

    def fresh(self, name: str, title: str) -> None:
        """Tell of a step that is fresh."""
        self.tell("fresh", step=name, title=title)

    def summary(self, ran: Sequence[RanStep], fresh: int, saved: float, failures: Sequence[Failure]) -> None:
        """Tell how the run ended."""
        done = sum(one.outcome == Outcome.DONE for one in ran)
        way: list[Json] = [one.step for one in critical_path(ran)]
        seconds = max((one.ended for one in ran), default=0.0) - min((one.started for one in ran), default=0.0)
        counts: dict[str, Json] = {"done": done, "failed": len(ran) - done, "fresh": fresh}
        times: dict[str, Json] = {"seconds": round(max(seconds, 0.0), 3), "saved_seconds": round(saved, 3)}
        self.tell("summary", **counts, **times, critical_path=way)


class EventProgress(StepProgress):
    """The progress of one step, as lines."""

    def __init__(self, display: EventDisplay, step: Step) -> None:
        super().__init__(display, step.title, None)
        self._events = display
        self._step = step.name
        self._told = 0.0

    def note(self, text: str) -> None:
        """Tell one line."""
        self._events.tell("note", step=self._step, text=text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Tell of progress now and then.

        :raises Cancelled: the program is ending."""
        if self._events.cancelled.is_set():
            raise Cancelled
        if (now := time.monotonic()) - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._events.tell("progress", step=self._step, done=done, total=total, unit=unit)

    def said(self, line: str) -> None:
        """A line of the log stays in the log."""

    def program(self, text: str, status: int | None, seconds: float) -> None:
        """Programs stand in the log."""

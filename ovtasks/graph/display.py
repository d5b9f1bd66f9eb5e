"""Shows running steps on stderr: a live line for each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from ovtasks.errors import OvError
from ovtasks.graph.step import Step
from ovtasks.host.verbosity import Verbosity, ended, level
from ovtasks.values.durations import format_taken

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from ovtasks.graph.last_run import RanStep
    from ovtasks.graph.summary import Failure

PLAIN_SECONDS = 10.0
"""Without a terminal: seconds between two lines about progress."""

WORTH_SECONDS = 1.0
"""Outside of a CI: work that took less has no line about its time."""


class Cancelled(BaseException):
    """Raised inside a step that runs in a thread, when the program is ending."""


class Display:
    """Shows steps while they run, counts them, and collects errors in ``failures`` for the exit code.

    ``always``: :meth:`summary` is wanted even when nothing ran.
    """

    always = False

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.failures: list[OvError] = []
        self.started = 0
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._running = 0
        self._working = 0
        self._sections = 0
        self._unended = ""

    def fresh(self, name: str, title: str) -> None:
        """A step is fresh; doit's report says so."""

    def summary(self, ran: Sequence[RanStep], fresh: int, saved: float, failures: Sequence[Failure]) -> None:
        """Show how the run ended, if a step ran; see :func:`ovtasks.graph.summary.summary`."""
        if self.quiet or not ran:
            return
        from ovtasks.graph.summary import summary

        for line in summary(ran, fresh, saved, failures, working=self._working):
            self.print(line)

    def over(self) -> None:
        """Remove what is live, at the end of the run. After an interrupt threads may still be at work: nobody hears."""
        self.quiet = self.quiet or self.cancelled.is_set()
        self._stop(everything=True)

    @contextlib.contextmanager
    def step(self, step: Step) -> Iterator[StepProgress]:
        """Show ``step`` for as long as it runs."""
        with self.work(step.title) as progress:
            yield progress

    @contextlib.contextmanager
    def work(self, title: str) -> Iterator[StepProgress]:
        """Show work that takes time, for as long as it runs."""
        with self._lock:
            self.started += 1
            self._working += 1
        bars = self._start() if self.stream.isatty() and not self.quiet else None
        progress = StepProgress(self, title, bars)
        with self._section(title) if bars is None and not self.quiet else contextlib.nullcontext():
            try:
                yield progress
            finally:
                progress.end()
                with self._lock:
                    self._working -= 1
                if bars is not None:
                    self._stop()

    @contextlib.contextmanager
    def _section(self, title: str) -> Iterator[None]:
        """Without a terminal: say how long the work took. In a CI that can fold lines, fold those of the block.

        Work that runs beside other work is not folded, since the lines mix. Outside of a CI short work is not worth a
        line.
        """
        github, gitlab = (os.environ.get(name) == "true" for name in ("GITHUB_ACTIONS", "GITLAB_CI"))
        if not (github or gitlab):
            start = time.monotonic()
            try:
                yield
            finally:
                if (seconds := time.monotonic() - start) >= WORTH_SECONDS:
                    self.print(f"   {title}: took {format_taken(seconds)}")
            return
        with self._lock:
            alone, self._sections = self._sections == 0, self._sections + 1
        began, name = time.time(), f"ov_{self.started}"
        if alone and github:
            self.print(f"::group::{title}")
        elif alone:
            self.print(f"\x1b[0Ksection_start:{began:.0f}:{name}\r\x1b[0K{title}")
        try:
            yield
        finally:
            with self._lock:
                self._sections -= 1
            now = time.time()
            self.print(f"   {title}: took {format_taken(now - began)}")
            if alone:
                self.print("::endgroup::" if github else f"\x1b[0Ksection_end:{now:.0f}:{name}\r\x1b[0K")

    def print(self, text: str) -> None:
        """Print one line, above the live ones."""
        if self.quiet:
            return
        if not self.above(f"{text}\n"):
            with self._lock:
                print(text, file=self.stream, flush=True)

    def above(self, text: str) -> bool:
        """Write ``text`` above the live lines, if there are any; returns whether there are.

        A line without an end waits for it, since the live ones would overwrite it.
        """
        with self._lock:
            if self._bars is None:
                return False
            lines, newline, self._unended = f"{self._unended}{text}".rpartition("\n")
            if newline:
                self._bars.console.out(lines, highlight=False)
            return True

    def _start(self) -> Bars:
        with self._lock:
            if self._bars is None:
                from ovtasks.graph.bars import new_bars

                self._bars = new_bars(self.stream)
                self._bars.start()
            self._running += 1
            return self._bars

    def _stop(self, *, everything: bool = False) -> None:
        with self._lock:
            self._running -= 1
            if (everything or self._running == 0) and self._bars is not None:
                self._bars.stop()
                self._bars = None
                self.stream.write(self._unended)
                self._unended = ""


class StepProgress:
    """The :class:`ovtasks.host.progress.Progress` of one running step."""

    def __init__(self, display: Display, title: str, bars: Bars | None) -> None:
        self._display = display
        self._title = title
        self._bars = bars
        self._bar: TaskID | None = bars.add_task(title, total=None, unit="", said="") if bars is not None else None
        self._began = self._spoke = time.monotonic()
        self._command = ""

    def note(self, text: str) -> None:
        """Print one line below the step's title."""
        self._display.print(f"   {text}")

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Move the bar; without one, print a line now and then.

        :raises Cancelled: the program is ending."""
        if self._display.cancelled.is_set():
            raise Cancelled
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, unit=unit)
        else:
            self._now_and_then(amount(done, total, unit))

    def said(self, line: str) -> None:
        """A program of the step said this line: it stands beside the bar, and with ``--debug`` for itself."""
        if level() is Verbosity.ALL:
            self.note(f"  {line}")
        else:
            self._latest(line)

    def program(self, text: str, status: int | None, seconds: float) -> None:
        """A program begins (``text`` is its command line, ``seconds`` 0) or has ended with ``status``."""
        if not seconds:
            self._command = text
            self._latest(f"$ {text}")
            if level() is Verbosity.ALL:
                self.note(f"$ {text}")
        elif level() is not Verbosity.PLAIN:
            self.note(ended(self._command, status, seconds))

    def _latest(self, text: str) -> None:
        """Show the last line of the step's log beside the bar; without one, now and then."""
        if not (text := text.strip()):
            return
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, said=text)
        else:
            self._now_and_then(text)

    def _now_and_then(self, text: str) -> None:
        if (now := time.monotonic()) - self._spoke > PLAIN_SECONDS:
            self._spoke = now
            self._display.print(f"   {self._title}: {text} [{format_taken(now - self._began)}]")

    def end(self) -> None:
        """Remove the bar."""
        if self._bars is not None and self._bar is not None:
            self._bars.remove_task(self._bar)


def amount(done: int, total: int | None, unit: str) -> str:
    """``312 MiB of 1.2 GiB (26 %)``, or ``26 %``."""
    if unit == "%":
        return f"{done} %"
    text = _mebibytes(done)
    return f"{text} of {_mebibytes(total)} ({100 * done // total} %)" if total else text


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 30):.2f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"

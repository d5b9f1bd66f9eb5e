"""Shows how a guest climbs while something waits for it: each rung once, and in between that it is still at it."""

from __future__ import annotations

import threading
import time

from ovtasks.guest.signs import ConsoleSigns
from ovtasks.host.progress import LiveLine, Progress
from ovtasks.instance.record import Record

PLAIN_SECONDS = 15.0
"""Without a terminal: seconds of silence, after which a line says how far the guest is."""
LOOK_SECONDS = 1.0
"""Seconds between two looks at the console."""
RUNS = "it runs"


class Ladder:
    """A :class:`Progress` that also reports the rungs, until it is left. From the first one on a thread reads the
    console.

    ``limit`` is how long the whole wait may take, in seconds.
    """

    def __init__(self, record: Record, progress: Progress, limit: float) -> None:
        self._name = record.words
        self._progress = progress
        self._limit = limit
        self._console = ConsoleSigns(record.folder.serial_log, record.log_start)
        self._rung = RUNS
        self._begun = self._spoke = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="ladder", daemon=True)

    def __enter__(self) -> Ladder:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if isinstance(self._progress, LiveLine):
            self._progress.live("")

    def note(self, text: str) -> None:
        """Show one line."""
        with self._lock:
            self._progress.note(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Report progress of something else."""
        self._progress.update(done, total, unit)

    def reach(self, rung: str, seconds: float) -> None:
        """Say that the guest has reached a rung, after so many seconds."""
        with self._lock:
            self._say(rung, f"({seconds:.0f} s)")
            self._rung = rung
        if self._thread.ident is None:
            self._thread.start()

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._look()
            if self._over.wait(LOOK_SECONDS):
                return

    def _look(self) -> None:
        elapsed = time.monotonic() - self._begun
        for rung in self._console.look():
            self._say(rung, f"({elapsed:.0f} s)")
            self._rung = rung
        last = self._console.last
        shown = f"{self._name}: {elapsed:.0f} s of {self._limit:.0f} s, {self._rung}{f'  | {last}' if last else ''}"
        if isinstance(self._progress, LiveLine) and self._progress.live(shown):
            return
        if time.monotonic() - self._spoke >= PLAIN_SECONDS:
            said = f"; its console: {last[:160]}" if last else "; its console is silent"
            self._say(f"still waiting after {elapsed:.0f} s of {self._limit:.0f} s: {self._rung}{said}")

    def _say(self, text: str, when: str = "") -> None:
        self._spoke = time.monotonic()
        self._progress.note(f"{self._name}: {text} {when}".rstrip())

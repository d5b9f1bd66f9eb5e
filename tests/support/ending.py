"""How a run of the tests ends: also when a signal comes, all that tests have made is taken away.

The first SIGINT, SIGTERM or SIGHUP is a Ctrl-C to pytest, which tears down what stands; further ones are ignored
meanwhile. With xdist the controller hands it on to its workers and waits for them. Who still is there after
``LAST_SECONDS`` is ended by the kernel, and what is left is undone from the journal (tests/support/leftovers.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from tests.support import leftovers
from tests.support.processes import alive

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_SECONDS = 40
WORKERS_SECONDS = 25.0


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, _ignored)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LAST_SECONDS)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN: children would inherit that."""


def listen() -> None:
    """Also where signals were ignored when we started (a shell's background job): what we start would inherit that."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt)


class Ending:
    """A plugin: in each worker it listens to signals; in the process that the user started it keeps the journal."""

    def __init__(self, config: pytest.Config) -> None:
        self.left: list[str] = []
        self.run: leftovers.Run | None = None
        self.worker = str(os.getpid()) if hasattr(config, "workerinput") else ""
        listen()
        if self.worker:
            leftovers.note("worker", self.worker)
        else:
            self.left = leftovers.sweep()
            self.run = leftovers.Run()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Before xdist ends its workers, which it would do in the middle of a test."""
        for pid in self._workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        end = time.monotonic() + WORKERS_SECONDS
        while self._workers() and time.monotonic() < end:
            time.sleep(0.05)

    def _workers(self) -> list[int]:
        """Those that have not yet torn down what stands; one that has goes on living until xdist ends it."""
        noted = [int(name) for name in self.run.noted("worker")] if self.run else []
        return [pid for pid in noted if alive(pid)]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Iterator[None]:
        """After pytest's own, which tears down what an interrupt left standing, and xdist's, which ends workers."""
        try:
            return (yield)
        finally:
            if self.worker:
                leftovers.done(self.worker)
            if self.run is not None:
                self.left += self.run.end()
                self.run = None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.left:
            terminalreporter.write_line(f"taken away, left by tests: {', '.join(self.left)}")

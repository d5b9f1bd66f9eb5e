"""What is shown of the programs that run: ``-v``, ``--debug`` and ``$OV_DEBUG``."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from enum import IntEnum

from ovtasks.host.hearing import LineCutter


class Verbosity(IntEnum):
    """Nothing of programs; each one with its time, at its end; all that they say, too."""

    PLAIN = 0
    PROGRAMS = 1
    ALL = 2


def level_of(text: str) -> Verbosity:
    """The level that ``$OV_DEBUG`` asks for: empty or 0: nothing; 1: programs; anything else: all."""
    return {"": Verbosity.PLAIN, "0": Verbosity.PLAIN, "1": Verbosity.PROGRAMS}.get(text, Verbosity.ALL)


_level = level_of(os.environ.get("OV_DEBUG", ""))


def level() -> Verbosity:
    """What this process shows."""
    return _level


def set_level(wanted: Verbosity) -> None:
    """Show so much from now on, in this process."""
    global _level
    _level = wanted


def ended(command: str, status: int | None, seconds: float) -> str:
    """The line about a program that ended. ``status`` None: it could not be started."""
    how = "could not be started" if status is None else f"status {status}"
    return f"$ {command}  [{how}, {seconds:.2f} s]"


class ProgramPrinter:
    """Prints what programs do, outside of steps; see :class:`ovtasks.host.hearing.ProgramListener`."""

    def __init__(self) -> None:
        self._command = ""
        self._began = 0.0
        self._lines: list[LineCutter] = []

    def begins(self, words: Sequence[str]) -> None:
        """Remember the program; with ``--debug`` print its command line."""
        self._command, self._began = shlex.join(words), time.monotonic()
        if level() is Verbosity.ALL:
            _print(f"$ {self._command}")

    def stream(self) -> Callable[[bytes], None]:
        """What prints the lines of a stream, with ``--debug``."""
        self._lines.append(LineCutter(lambda line: _print(f"  {line}") if level() is Verbosity.ALL else None))
        return self._lines[-1].take

    def ends(self, status: int | None) -> None:
        """Print how it ended."""
        for lines in self._lines:
            lines.end()
        self._lines.clear()
        _print(ended(self._command, status, time.monotonic() - self._began))


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

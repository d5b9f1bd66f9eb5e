"""How a program that was run failed; apart from what runs one, for those who only have to tell of it."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from ovtasks.errors import OvError

TAIL_LINES = 15


class CommandError(OvError):
    """A program ended with a status other than 0; ``stderr`` is the end of what it said."""

    def __init__(self, argv: Sequence[str], returncode: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr
        end = f"was killed by {_signal_name(-returncode)}" if returncode < 0 else f"ended with status {returncode}"
        tail = "\n".join(f"  | {line}" for line in stderr.rstrip().splitlines()[-TAIL_LINES:])
        super().__init__(f"{Path(argv[0]).name} {end}" + (f":\n{tail}" if tail else ""), hint=shlex.join(argv))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""Step logs: what a step's programs said in its last run, in ``output/<vm>/log/``. Nothing depends on them.

Only their owner may read them. What a step's inputs hide, and the user part of a URL, is not written.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from ovtasks.errors import OvError
from ovtasks.graph.step import Step
from ovtasks.host.files import create
from ovtasks.host.hearing import LineCutter, heard_by
from ovtasks.host.progress import ProgramView, Progress
from ovtasks.values.hidden import SHOWN, secret_lines

MAX_BYTES = 16 << 20
"""What a program says beyond that is left out."""
_USER = re.compile(r"(\w://)[^/\s@]+@")
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What would move a terminal's cursor or change its colours."""


def log_file(output: Path, step_name: str) -> Path:
    """Where the log of a step lies; that of a step that several VMs share is in ``output/.ov/log``."""
    verb, _, rest = step_name.partition(":")
    vm, _, type = rest.partition(":")
    if vm.startswith("@"):
        return output / ".ov" / "log" / f"{verb}{rest.replace('/', '%')}.log"
    return output / vm / "log" / (f"{verb}-{type}.log" if type else f"{verb}.log")


class StepLog:
    """The log of one run of a step; it listens to the programs, and is the :class:`Progress` of the step."""

    def __init__(self, file: IO[bytes] | None, step: Step, progress: Progress) -> None:
        self.programs = 0
        self._file = file
        self._progress = progress
        self._secrets = secret_lines(step.inputs)
        self._streams: list[LineCutter] = []
        self._written = 0
        self._began = self._program = time.monotonic()
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        self.write(f"{step.name}  {step.title}  {now}")

    def note(self, text: str) -> None:
        """Write a note of the step, and show it."""
        self.write(f"# {text}")
        self._progress.note(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Show how far the step is."""
        self._progress.update(done, total, unit)

    def begins(self, words: Sequence[str]) -> None:
        """Write a program's command line, and when it was started."""
        self.programs += 1
        self._program = time.monotonic()
        self.write(f"[{self._program - self._began:8.3f} s] $ {shlex.join(words)}")
        if isinstance(self._progress, ProgramView):
            self._progress.program(self._clean(shlex.join(words)), None, 0.0)

    def stream(self) -> Callable[[bytes], None]:
        """What writes the lines of a stream."""
        self._streams.append(LineCutter(self._said))
        return self._streams[-1].take

    def ends(self, status: int | None) -> None:
        """Write how a program ended, and how long it took."""
        for lines in self._streams:
            lines.end()
        self._streams.clear()
        seconds = time.monotonic() - self._program
        how = "could not be started" if status is None else f"ended with status {status}"
        self.write(f"[{time.monotonic() - self._began:8.3f} s] {how} after {seconds:.3f} s")
        if isinstance(self._progress, ProgramView):
            self._progress.program(how, status, seconds)

    def over(self, how: str) -> None:
        """Write how the step ended."""
        self.write(f"[{time.monotonic() - self._began:8.3f} s] {how}")

    def write(self, line: str) -> None:
        """Write one line at once, so that it is there after a kill. A disk that is full costs the log, not the step."""
        if self._file is None:
            return
        data = f"{self._clean(line)}\n".encode(errors="replace")
        if self._written <= MAX_BYTES < self._written + len(data):
            data += b"(what comes now is left out)\n"
        elif self._written > MAX_BYTES:
            return
        self._written += len(data)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _said(self, line: str) -> None:
        self.write(line)
        if isinstance(self._progress, ProgramView):
            self._progress.said(self._clean(line))

    def _clean(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, SHOWN)
        return _CONTROL.sub("", _USER.sub(r"\1***@", line))

    close = _drop


@contextlib.contextmanager
def logged(path: Path | None, step: Step, progress: Progress) -> Iterator[StepLog]:
    """Write what happens inside the block to a new log at ``path``.

    :raises UnsafeError: a link stands where the log or its folder must be. An error that comes out of a step whose
        programs ran names the log.
    """
    file = None
    with contextlib.suppress(OSError):
        file = create(path) if path is not None else None
    log = StepLog(file, step, progress)
    try:
        with heard_by(log):
            yield log
        log.over("done")
    except (OvError, OSError) as e:
        log.over(f"failed: {e}")
        if path is not None and file is not None and log.programs and isinstance(e, OvError):
            e.log = path
        raise
    except BaseException:
        log.over("stopped")
        raise
    finally:
        log.close()

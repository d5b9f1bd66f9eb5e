"""The verdict of a check, and running many checks at once."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.patience import waiting_for
from ovtasks.host.run import CommandError, MissingProgramError, stop_all

DEADLINE = 10.0  # seconds for all checks together
TRY = 7.0  # seconds for one program


class CheckState(StrEnum):
    """How a check ended. ``note``: fine, or not needed, but there is something to know."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Verdict:
    """What a check says: ``detail`` in one line, ``hint`` with the next step."""

    state: CheckState
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class Check:
    """One check. ``look`` tries one thing; it gets an empty folder of its own with a short path.

    It may raise OvError or OSError. ``needed``: no VM runs without it.
    """

    name: str
    look: Callable[[Path], Verdict]
    needed: bool = False


@dataclass(frozen=True)
class Finding:
    """A check's name and its verdict."""

    name: str
    state: CheckState
    detail: str
    hint: str | None = None
    needed: bool = False

    @property
    def well(self) -> bool:
        """Whether there is nothing to do."""
        return self.state in {CheckState.OK, CheckState.NOTE}


def ok(detail: str) -> Verdict:
    """It works."""
    return Verdict(CheckState.OK, detail)


def note(detail: str, hint: str | None = None) -> Verdict:
    """It works, or is not needed, but there is something to know."""
    return Verdict(CheckState.NOTE, detail, hint)


def missing(detail: str, hint: str | None = None) -> Verdict:
    """It is not installed, or not there."""
    return Verdict(CheckState.MISSING, detail, hint)


def broken(detail: str, hint: str | None = None) -> Verdict:
    """It is there and does not work."""
    return Verdict(CheckState.BROKEN, detail, hint)


def examine(checks: Sequence[Check], deadline: float = DEADLINE) -> list[Finding]:
    """Run all checks at once, one thread each. A check without an answer after ``deadline`` seconds is broken.

    What it started is ended, together with every other program that :func:`ovtasks.host.run.run` waits for.
    """
    end = time.monotonic() + deadline
    verdicts: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="ov-doctor-", dir=_short_folder(), ignore_cleanup_errors=True) as base:
        threads = [
            threading.Thread(target=_examine_one, args=(check, Path(base, str(number)), verdicts), daemon=True)
            for number, check in enumerate(checks)
        ]
        for thread in threads:
            thread.start()
        with waiting_for("the checks"):
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
        in_time = dict(verdicts)
        if late := [thread for thread in threads if thread.is_alive()]:
            stop_all()
            for thread in late:
                thread.join(1.0)
    silent = broken(f"no answer within {deadline:g} s", "try again when the machine is less busy")
    return [_finding(check, in_time.get(check.name, silent)) for check in checks]


def _short_folder() -> str:
    """A folder with a short path: that of a Unix socket has at most 107 bytes (unix(7))."""
    folder = tempfile.gettempdir()
    return folder if len(folder) < 60 else "/tmp"


def _finding(check: Check, verdict: Verdict) -> Finding:
    return Finding(check.name, verdict.state, verdict.detail, verdict.hint, check.needed)


def _examine_one(check: Check, scratch: Path, verdicts: dict[str, Verdict]) -> None:
    try:
        scratch.mkdir()
        verdict = check.look(scratch)
    except MissingProgramError as e:
        verdict = missing(e.message, e.hint)
    except CommandError as e:
        verdict = broken(said(e), e.hint)
    except OvError as e:
        verdict = broken(" ".join(e.message.split()), e.hint)
    except OSError as e:
        verdict = broken(str(e))
    verdicts[check.name] = verdict


def said(error: CommandError) -> str:
    """The end of what the program said, in one line."""
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    return f"{Path(error.argv[0]).name}: {lines[-1]}" if lines else error.message

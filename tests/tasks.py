"""The checkout's own doit tasks: ``test`` and ``bench``."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from doit.exceptions import TaskFailed

ROOT = Path(__file__).parent.parent
FAST = "not slow and not boot"
SECONDS_TO_CLEAN_UP = 20.0

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)


def _run(module: str, *arguments: str) -> int:
    """Run a Python tool on our own terminal: its colours, its progress and Ctrl-C are the user's."""
    print("$", shlex.join([module, *arguments]), flush=True)
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
    try:
        return process.wait()
    except BaseException as e:  # we are ending: let pytest clean up, by a Ctrl-C unless the terminal sent it one
        if not (isinstance(e, KeyboardInterrupt) or getattr(e, "code", None) == 128 + signal.SIGINT):
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_CLEAN_UP)
        process.kill()
        raise


def _pytest_arguments(fast: bool, arguments: Sequence[str]) -> list[str]:
    """One pytest run, so that one closing line tells all.

    Boots are slow and use a whole core: they are one group (tests/conftest.py) on one worker, and the others go through
    the rest meanwhile.
    """
    cores = os.cpu_count() or 1
    workers = (
        min(2 * cores if fast else cores, 4) if cores > 1 else 1
    )  # what is fast also waits: for servers, for deadlines
    spread = ["-n", str(workers), "--dist", "loadgroup"] if workers > 1 else []
    return [*spread, *(["-m", FAST] if fast else []), *arguments]


def run_tests(fast: bool, arguments: list[str]) -> TaskFailed | None:
    """Static checks, then pytest; all of them run even when one fails, and pytest has the last word.

    With arguments for pytest somebody looks into something: only pytest runs.
    """
    failed = [] if arguments else [" ".join(check) for check in CHECKS if _run(*check) != 0]
    if _run("pytest", *_pytest_arguments(fast, arguments)) != 0:
        failed.append("pytest")
    return TaskFailed(f"failed: {', '.join(failed)}") if failed else None


def run_benchmarks(arguments: list[str]) -> TaskFailed | None:
    """Every ``bench/*.py``, or those named."""
    names = arguments or sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py"))
    failed = [name for name in names if _run(f"bench.{name}") != 0]
    return TaskFailed(f"failed: {', '.join(failed)}") if failed else None


def task_test() -> dict[str, object]:
    """check the checkout: ruff, mypy, pytest (--fast: not the slow and boot ones; -- ARGS: only pytest, with them)"""
    return {
        "actions": [run_tests],
        "params": [
            {"name": "fast", "long": "fast", "type": bool, "default": False, "help": "leave out slow and boot tests"}
        ],
        "pos_arg": "arguments",
        "uptodate": [False],
        "io": {"capture": False},
        "verbosity": 2,
    }


def task_bench() -> dict[str, object]:
    """measure: no-op speed, cold build (README's figures); names of bench/*.py choose"""
    return {
        "actions": [run_benchmarks],
        "pos_arg": "arguments",
        "uptodate": [False],
        "io": {"capture": False},
        "verbosity": 2,
    }

"""The checkout's own doit tasks: ``demo``, ``test`` and ``bench``.

The tools that they run are on the user's terminal and are ended with all that they started, which needs subprocess.
``sh`` for the rest is imported where it is used: every ``doit`` in the checkout loads this file.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from doit.exceptions import TaskFailed

from ovtasks.cli.checkout import NO_SERVICES
from ovtasks.host.run import stop

ROOT = Path(__file__).parent.parent.parent
FAST = "not slow and not boot"
SECONDS_TO_CLEAN_UP = 45.0
NONE_RAN = 5
"""pytest's exit status when no test is left by what was asked for."""
SSH_FAILED = 255
"""ssh's exit status when it is not the remote command's."""
DEMO_RUNS = (
    "demo runs. Log in again: ./doitw demo · stop it: ./doitw stop:demo · remove it: ./doitw destroy:demo --disk"
)
KEPT = ("CI", "HYPOTHESIS_", "PIP_", "PYTEST_", "REQUESTS_CA_BUNDLE", "SSL_CERT", "http", "https", "no_proxy")
"""Beginnings of the names of environment variables that root's tests see, too."""

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)


def _run(*argv: str) -> int:
    """Run a tool on our own terminal: its colours, its progress and Ctrl-C are the user's."""
    print("$", shlex.join(argv), flush=True)
    process = subprocess.Popen(argv, cwd=ROOT)
    try:
        return process.wait()
    except BaseException as e:  # we are ending: let pytest clean up, by a Ctrl-C unless the terminal sent it one
        if not (isinstance(e, KeyboardInterrupt) or getattr(e, "code", None) == 128 + signal.SIGINT):
            _interrupt(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_CLEAN_UP)
        stop(process, grace=0)
        raise


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    try:
        process.send_signal(signal.SIGINT)
    except PermissionError:  # sudo's; it hands the signal on
        from tests.support.programs import attempt

        attempt("sudo", "-n", "kill", "-s", "INT", str(process.pid), new_session=False)


def _module(name: str, *arguments: str) -> list[str]:
    """A Python module's command line; when we are killed it gets a SIGTERM."""
    guard = [setpriv, "--pdeathsig", "TERM", "--"] if (setpriv := shutil.which("setpriv")) else []
    return [*guard, sys.executable, "-m", name, *arguments]


def _pytest_arguments(fast: bool, arguments: Sequence[str], *, only_root: bool = False) -> list[str]:
    """One pytest run, so that one closing line tells all.

    Many tests wait for something besides, a server, a deadline or a disk: one worker more than cores keeps these busy.
    Each first collects all tests, which takes seconds, and the few fast ones that take root's rights are not worth a
    second worker. Groups begin in the order of the tests (tests/conftest.py), not the one with most tests first.
    """
    cores = os.cpu_count() or 1
    workers = min(cores + 1, 4) if cores > 1 and not (fast and only_root) else 1
    spread = ["-n", str(workers), "--dist", "loadgroup", "--no-loadscope-reorder"] if workers > 1 else []
    return [*spread, *(["-m", FAST] if fast else []), *arguments]


def run_tests(fast: bool, arguments: list[str], no_services: bool = False) -> TaskFailed | None:
    """Static checks, then pytest; all of them run even when one fails, and pytest has the last word.

    With arguments for pytest somebody looks into something: only pytest runs. Who is not root runs it twice: as they
    are, and by sudo the tests that take root's rights.
    """
    if no_services and os.environ.get("CI"):
        return TaskFailed("CI runs all tests: --no-services is for a machine of somebody's own")
    failed = [] if arguments else [" ".join(check) for check in CHECKS if _run(*_module(*check)) != 0]
    if os.geteuid() != 0:
        _sudo()  # asks now, while somebody is there
    arguments = [*([NO_SERVICES] if no_services else []), *arguments]
    print("pytest collects the tests first, in each of its processes; that takes a while", flush=True)
    statuses = [_run(*_module("pytest", *_pytest_arguments(fast, arguments)))]
    if os.geteuid() != 0 and (sudo := _sudo()) is not None:
        words = ("--only-root", *_pytest_arguments(fast, arguments, only_root=True))
        statuses.append(_run(*sudo, *_module("pytest", "-p", "no:cacheprovider", *words)))
    elif os.geteuid() != 0:
        print("tests that take root's rights did not run: sudo does not let you, or asks for a password that nobody")
        print(f"can type here; they run with: sudo {sys.executable} -m pytest --only-root", flush=True)
        failed += ["root's tests (in CI they must run)"] if os.environ.get("CI") else []
    if set(statuses) - {0, NONE_RAN} or set(statuses) == {NONE_RAN}:
        failed.append("pytest")
    return TaskFailed(f"failed: {', '.join(failed)}") if failed else None


def _sudo() -> list[str] | None:
    """Words before a command that make it root's, the password asked for once where it can be typed; None: no way."""
    if shutil.which("sudo") is None:
        return None
    from tests.support.programs import attempt, on_terminal

    if attempt("sudo", "-n", "true", new_session=False).returncode != 0:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        print("some tests take root's rights; sudo asks for your password", flush=True)
        if on_terminal("sudo", "-v") != 0:
            return None
    kept = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(KEPT)]
    return ["sudo", "-n", "env", "PYTHONDONTWRITEBYTECODE=1", *kept]


def run_benchmarks(arguments: list[str]) -> TaskFailed | None:
    """Every ``bench/*.py``, or those named."""
    names = arguments or sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py"))
    failed = [name for name in names if _run(*_module(f"bench.{name}")) != 0]
    return TaskFailed(f"failed: {', '.join(failed)}") if failed else None


def run_demo() -> TaskFailed | None:
    """Wait for the VM ``demo``, which runs, and log in: with a shell on a terminal, elsewhere for one command."""
    ov = str(Path(sys.executable).with_name("ov"))
    try:
        if _run(ov, "vm", "wait", "demo") != 0:
            return TaskFailed("demo is not ready")
        if sys.stdin.isatty() and sys.stdout.isatty():
            print("you are logged in to demo; Ctrl-D or exit ends that", flush=True)
            status = _run(ov, "vm", "ssh", "demo")
        else:
            status = _run(ov, "vm", "ssh", "demo", "--", "uname", "-a")
    finally:  # also after Ctrl-C: it runs on
        print(DEMO_RUNS, flush=True)
    return TaskFailed("ssh could not log in to demo") if status == SSH_FAILED else None


def task_demo() -> dict[str, object]:
    """from nothing to a login: build the VM demo, create it, wait, ssh"""
    return {
        "actions": [run_demo],
        "task_dep": ["create:demo"],
        "uptodate": [False],
        "io": {"capture": False},
        "verbosity": 2,
    }


def task_test() -> dict[str, object]:
    """check the checkout: ruff, mypy, pytest (--fast: not the slow and boot ones; -- ARGS: only pytest, with them)"""
    return {
        "actions": [run_tests],
        "params": [
            {"name": "fast", "long": "fast", "type": bool, "default": False, "help": "leave out slow and boot tests"},
            {
                "name": "no_services",
                "long": "no-services",
                "type": bool,
                "default": False,
                "help": "leave out what needs packages that start services",
            },
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

"""The one gateway to other programs: argument lists, no shell, children that die with us, readable errors.

The tests call programs with the package ``sh``; this does not. sh forks the whole process (49 to 109 ms for each call
at 400 MB), its children outlive us, and it splits output at newlines alone, so that qemu-img's progress comes at the
end. :mod:`ovtasks.host.spawn` starts what outlives us, :mod:`ovtasks.host.transfer` pipes one program into another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from ovtasks.host.command_error import CommandError as CommandError
from ovtasks.host.hearing import listener
from ovtasks.host.patience import named, waiting_for
from ovtasks.host.pipes import Conversation
from ovtasks.host.process_tree import GRACE, ProcessTree
from ovtasks.host.process_tree import end as end_together
from ovtasks.host.which import MissingProgramError as MissingProgramError
from ovtasks.host.which import require as require
from ovtasks.host.which import which as which


@dataclass(frozen=True, slots=True)
class Result:
    """What a program said that has ended."""

    returncode: int
    stdout: str
    stderr: str


@cache
def _setpriv() -> str | None:
    found = which("setpriv")
    return str(found) if found else None


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    check: bool = True,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    watch: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
    end: Callable[[], None] | None = None,
    grace: float = GRACE,
    stdin_file: IO[bytes] | None = None,
) -> Result:
    """Run a program to its end and return what it said.

    The child reads ``stdin``, or ``stdin_file`` (a real file or pipe). ``env`` is added to our environment, with
    ``LC_ALL=C.UTF-8`` so that code can read the messages. ``on_line`` gets stdout and stderr line by line as they come
    (a carriage return ends a line, too). ``timeout`` is in seconds. ``watch`` is called about twice a second while the
    child runs; if it raises, the child is ended and the exception comes out here. We wait for the child's end. What it
    leaves behind with its pipes open is not waited for; of its process group, it is killed.

    The child dies when we die, however that happens. When an exception (Ctrl-C, too) passes through here, the child and
    all that it started are ended: SIGTERM, then SIGKILL after ``grace`` seconds (0: at once). Before that ``end`` is
    called, for what no signal reaches (a container).

    :raises MissingProgramError: the program is not installed.
    :raises CommandError: it ended with a status other than 0 and ``check`` is true, or took longer than ``timeout``.
    """
    words = [os.fspath(word) for word in argv]
    words[0] = str(require(words[0]))
    read = stdin_file or (subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
    process = start_child(words, read, subprocess.PIPE, env=env, cwd=cwd, pass_fds=pass_fds, ending=Ending(end, grace))
    talk = Conversation(process, stdin, on_line)
    try:
        with waiting_for(named(words)):
            out, err = talk.hold(timeout, watch)
    except BaseException as e:
        end_child(process)
        if isinstance(e, subprocess.TimeoutExpired):
            raise CommandError(words, -signal.SIGKILL, f"took longer than {timeout:g} s") from None
        raise
    finally:
        _over(process)
    if talk.left_behind:
        _kill_group(process)
    if check and process.returncode != 0:
        raise CommandError(words, process.returncode, err or out)
    return Result(process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class Ending:
    """How to end a child early: what to call first, and how many seconds it gets to end by itself."""

    first: Callable[[], None] | None = None
    grace: float = GRACE


def start_child(
    words: Sequence[str],
    stdin: int | IO[bytes],
    stderr: int | IO[bytes],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    ending: Ending = Ending(),
) -> subprocess.Popen[bytes]:
    """Start a child that the kernel kills when we die, with a session of its own, so that Ctrl-C reaches us alone.

    ``ending`` is how :func:`end_child` ends it, and :func:`stop_all` if that comes first.
    """
    guard = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := _setpriv()) else []
    if (hears := listener()) is not None:
        hears.begins(words)
    process = subprocess.Popen(
        [*guard, *words],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        cwd=cwd,
        bufsize=0,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    _running[process] = ending
    return process


_running: dict[subprocess.Popen[bytes], Ending] = {}


def _over(process: subprocess.Popen[bytes]) -> None:
    _running.pop(process, None)
    if (hears := listener()) is not None:
        hears.ends(process.returncode)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def stop_all() -> None:
    """End every child that :func:`run` waits for in any thread, because the program is ending."""
    trees: list[ProcessTree] = []
    with contextlib.ExitStack() as last:
        last.callback(end_together, trees)  # also if a call that comes first fails
        while _running:
            process, ending = _running.popitem()
            trees.append(ProcessTree(process, ending.grace))
            if ending.first is not None:
                last.callback(ending.first)


def end_child(process: subprocess.Popen[bytes]) -> None:
    """End a child once, whether its own thread comes first or the end of the program."""
    ending = _running.pop(process, Ending())
    try:
        if ending.first is not None:
            ending.first()
    finally:
        stop(process, grace=ending.grace)


def stop(process: subprocess.Popen[bytes], *, grace: float = GRACE) -> None:
    """End a child that leads a process group, and all that it started: SIGTERM, after ``grace`` seconds SIGKILL."""
    end_together([ProcessTree(process, grace)])

"""The one gateway to other programs: argument lists, no shell, children that die with us, readable errors."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from ovtasks.errors import OvError
from ovtasks.host.command_error import CommandError as CommandError
from ovtasks.host.family import GRACE, Family
from ovtasks.host.family import end as end_together
from ovtasks.host.files import create, write_atomic
from ovtasks.host.packages import package_hint
from ovtasks.host.pipes import Conversation


class MissingProgramError(OvError):
    """A program is not installed; the hint names this distribution's package."""

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed", hint=package_hint(program))


@dataclass(frozen=True, slots=True)
class Result:
    """What a program said that has ended."""

    returncode: int
    stdout: str
    stderr: str


def require(program: str) -> Path:
    """The program's path.

    :raises MissingProgramError: it is neither in PATH nor in ``/usr/sbin`` or ``/sbin``.
    """
    found = which(program)
    if found is None:
        raise MissingProgramError(program)
    return found


def which(program: str) -> Path | None:
    """The program's path, or None. Also looks in system folders that an ordinary user's PATH leaves out."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    return Path(found) if found else None


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
    process = _popen(words, read, subprocess.PIPE, env=env, cwd=cwd, pass_fds=pass_fds)
    _running[process] = _Ending(end, grace)
    talk = Conversation(process, stdin, on_line)
    try:
        out, err = talk.hold(timeout, watch)
    except BaseException as e:
        _end(process)
        if isinstance(e, subprocess.TimeoutExpired):
            raise CommandError(words, -signal.SIGKILL, f"took longer than {timeout:g} s") from None
        raise
    finally:
        _running.pop(process, None)
    if talk.left_behind:
        _kill_group(process)
    if check and process.returncode != 0:
        raise CommandError(words, process.returncode, err or out)
    return Result(process.returncode, out, err)


def _popen(
    words: Sequence[str],
    stdin: int | IO[bytes],
    stderr: int | IO[bytes],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child that the kernel kills when we die. It has a session of its own, so that Ctrl-C reaches us alone."""
    guard = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := _setpriv()) else []
    return subprocess.Popen(
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


def spawn(argv: Sequence[str], log: Path, pid_file: Path | None = None) -> Callable[[], int | None]:
    """Start a program that outlives us and our terminal. What it says is appended to ``log`` (readable by us alone).

    Its process id is written to ``pid_file``, for programs that do not do so themselves. Returns a function that tells
    its exit status: None as long as it runs, negative when a signal ended it.

    :raises MissingProgramError: the program is not installed.
    """
    words = [str(require(argv[0])), *argv[1:]]
    with create(log, append=True) as said:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            cwd="/",  # so that it keeps no file system busy
            start_new_session=True,
        )
    _spawned[:] = [other for other in _spawned if other.poll() is None]  # no zombies while we live
    _spawned.append(process)
    if pid_file is not None:
        write_atomic(pid_file, f"{process.pid}\n", mode=0o600)
    return process.poll


@dataclass(frozen=True, slots=True)
class _Ending:
    """How to end a child early: what to call first, and how many seconds it gets to end by itself."""

    first: Callable[[], None] | None = None
    grace: float = GRACE


_spawned: list[subprocess.Popen[bytes]] = []
_running: dict[subprocess.Popen[bytes], _Ending] = {}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def stop_all() -> None:
    """End every child that :func:`run` waits for in any thread, because the program is ending."""
    families: list[Family] = []
    with contextlib.ExitStack() as last:
        last.callback(end_together, families)  # also if a call that comes first fails
        while _running:
            process, ending = _running.popitem()
            families.append(Family(process, ending.grace))
            if ending.first is not None:
                last.callback(ending.first)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child once, whether its own thread comes first or the end of the program."""
    ending = _running.pop(process, _Ending())
    try:
        if ending.first is not None:
            ending.first()
    finally:
        stop(process, grace=ending.grace)


def stop(process: subprocess.Popen[bytes], *, grace: float = GRACE) -> None:
    """End a child that leads a process group, and all that it started: SIGTERM, after ``grace`` seconds SIGKILL."""
    end_together([Family(process, grace)])


def transfer(
    producer: Sequence[str],
    consumer: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Pipe the output of one program into another; returns what the second one said. ``env`` is added for both.

    To end them early, we end the first one first: then a second one that our signals do not reach (under sudo) sees the
    end of its input.

    :raises MissingProgramError: one is not installed. :raises CommandError: one failed. The first one is blamed, unless
        it failed only because the second one was gone.
    """
    words = [str(require(producer[0])), *producer[1:]]
    with tempfile.TemporaryFile() as said:
        source = _popen(words, subprocess.DEVNULL, said, env=env, cwd=cwd)
        _running[source] = _Ending()
        assert source.stdout is not None
        try:
            with source.stdout:
                done = run(consumer, check=False, stdin_file=source.stdout, env=env, cwd=cwd, end=lambda: _end(source))
            while source.poll() is None:  # nobody reads what it writes any more
                time.sleep(0.02)
        finally:
            _end(source)
        said.seek(0)
        complaint = said.read().decode(errors="replace")
    gone = done.returncode != 0 and "broken pipe" in complaint.lower()
    if source.returncode not in {0, -signal.SIGPIPE} and not gone:
        raise CommandError(words, source.returncode, complaint)
    if done.returncode != 0:
        raise CommandError(consumer, done.returncode, done.stderr or done.stdout)
    return done

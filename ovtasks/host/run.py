"""The one gateway to other programs: argument lists, no shell, children that die with us, errors worth reading."""

from __future__ import annotations

import contextlib
import os
import shlex
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
from ovtasks.host.family import GRACE, Family
from ovtasks.host.family import end as end_together
from ovtasks.host.files import create, write_atomic
from ovtasks.host.packages import package_hint
from ovtasks.host.pipes import Conversation

TAIL_LINES = 15


class CommandError(OvError):
    """A program ended with a status other than 0; ``stderr`` is the tail of what it said."""

    def __init__(self, argv: Sequence[str], returncode: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr
        end = f"was killed by {_signal_name(-returncode)}" if returncode < 0 else f"ended with status {returncode}"
        tail = "\n".join(f"  | {line}" for line in stderr.rstrip().splitlines()[-TAIL_LINES:])
        super().__init__(f"{Path(argv[0]).name} {end}" + (f":\n{tail}" if tail else ""), hint=shlex.join(argv))


class MissingProgramError(OvError):
    """A program is not installed; the hint names this distribution's package."""

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed", hint=package_hint(program))


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished program said."""

    returncode: int
    stdout: str
    stderr: str


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def require(program: str) -> Path:
    """The program's path.

    :raises MissingProgramError: it is not in PATH (``/usr/sbin`` and ``/sbin`` are looked at too).
    """
    found = which(program)
    if found is None:
        raise MissingProgramError(program)
    return found


def which(program: str) -> Path | None:
    """The program's path, or None; looks in the system directories that an ordinary user's PATH leaves out."""
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
    ``LC_ALL=C.UTF-8`` so that messages can be read by code. ``on_line`` hears stdout and stderr line by line as they
    come (carriage returns end a line too). ``timeout`` is in seconds. ``watch`` is called about twice a second while
    the child runs; what it raises ends the child and comes out here. It is the child's end that is waited for: what it
    leaves behind with its pipes open is not, and of its own process group it is killed.

    The child is killed when we die, however that happens, and when an exception (Ctrl-C too) passes through here, with
    all that it started: SIGTERM, after ``grace`` seconds SIGKILL (``grace`` 0: at once). ``end`` is called before that,
    for what a signal does not reach (a container).

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
    """A child that the kernel kills when we die. A session of its own: Ctrl-C reaches us, and we end it in order."""
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
    """Start a program that outlives us and our terminal; what it says is appended to ``log`` (readable by us alone).
    Its process id is written to ``pid_file``, for programs that do not do so themselves.

    Returns how to ask for its exit status, which is None as long as it runs (as ``subprocess`` has it: negative when a
    signal ended it).

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
    """How a child is ended early: what comes first, and the seconds that it has to end by itself."""

    first: Callable[[], None] | None = None
    grace: float = GRACE


_spawned: list[subprocess.Popen[bytes]] = []
_running: dict[subprocess.Popen[bytes], _Ending] = {}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def stop_all() -> None:
    """End every child that :func:`run` is waiting for, in whichever thread: the program is ending."""
    families: list[Family] = []
    with contextlib.ExitStack() as last:
        last.callback(end_together, families)  # also when something that comes first fails
        while _running:
            process, ending = _running.popitem()
            families.append(Family(process, ending.grace))
            if ending.first is not None:
                last.callback(ending.first)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Once for each child, whoever comes first: its own thread, or the end of the program."""
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
    """Run two programs at once, the output of the first being the input of the second; returns what the second said.
    When they are to end, the first one goes first: a second one that no signal of ours reaches (sudo's) has then read
    all that comes. ``env`` is added to both environments.

    :raises MissingProgramError: one is not installed. :raises CommandError: one failed; the first one is blamed first,
        unless it only found that the second one was gone.
    """
    words = [str(require(producer[0])), *producer[1:]]
    with tempfile.TemporaryFile() as said:
        source = _popen(words, subprocess.DEVNULL, said, env=env, cwd=cwd)
        _running[source] = _Ending()
        assert source.stdout is not None
        try:
            with source.stdout:
                done = run(consumer, check=False, stdin_file=source.stdout, env=env, cwd=cwd, end=lambda: _end(source))
            while source.poll() is None:  # it writes to nobody any more
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

"""The one gateway to other programs: argument lists, no shell, children that die with us, errors worth reading."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TypeVar

from ovtasks.errors import OvError
from ovtasks.host.packages import package_hint

TAIL_LINES = 15

T = TypeVar("T")


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
    stdin_file: IO[bytes] | None = None,
) -> Result:
    """Run a program to its end and return what it said.

    The child reads ``stdin``, or ``stdin_file`` (a real file or pipe). ``env`` is added to our environment, with
    ``LC_ALL=C.UTF-8`` so that messages can be read by code. ``on_line`` hears stdout and stderr line by line as they
    come (carriage returns end a line too). ``timeout`` is in seconds. ``watch`` is called about twice a second while
    the child runs; what it raises ends the child and comes out here. The child is killed when we die, however that
    happens, and when an exception (Ctrl-C too) passes through here; ``end`` is called before that, for a child that a
    signal of ours does not reach or does not end wholly (sudo, a container).

    :raises MissingProgramError: the program is not installed.
    :raises CommandError: it ended with a status other than 0 and ``check`` is true, or took longer than ``timeout``.
    """
    words = [os.fspath(word) for word in argv]
    words[0] = str(require(words[0]))
    read = stdin_file or (subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
    process = _popen(words, read, subprocess.PIPE, env=env, cwd=cwd, pass_fds=pass_fds)
    _running[process] = end
    try:
        out, err = _communicate(process, stdin, timeout, on_line, watch)
    except BaseException as e:
        _end(process)
        if isinstance(e, subprocess.TimeoutExpired):
            raise CommandError(words, -signal.SIGKILL, f"took longer than {timeout:g} s") from None
        raise
    finally:
        _running.pop(process, None)
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
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            cwd="/",  # so that it keeps no file system busy
            start_new_session=True,
        )
    finally:
        os.close(fd)
    _spawned[:] = [other for other in _spawned if other.poll() is None]  # no zombies while we live
    _spawned.append(process)
    if pid_file is not None:
        pid_file.write_text(f"{process.pid}\n", encoding="ascii")
    return process.poll


_spawned: list[subprocess.Popen[bytes]] = []
_running: dict[subprocess.Popen[bytes], Callable[[], None] | None] = {}


def stop_all() -> None:
    """End every child that :func:`run` is waiting for, in whichever thread: the program is ending."""
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Once for each child, whoever comes first: its own thread, or the end of the program."""
    end = _running.pop(process, None)
    try:
        if end is not None:
            end()
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, grace: float = 5.0) -> None:
    """End a child and its process group: SIGTERM, after ``grace`` seconds SIGKILL; always reaps it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        except PermissionError:  # sudo's: it ends with what it runs
            pass
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def transfer(producer: Sequence[str], consumer: Sequence[str]) -> Result:
    """Run two programs at once, the output of the first being the input of the second; returns what the second said.

    :raises MissingProgramError: one is not installed. :raises CommandError: one failed; the first one is blamed first.
    """
    words = [str(require(producer[0])), *producer[1:]]
    with tempfile.TemporaryFile() as said:
        source = _popen(words, subprocess.DEVNULL, said)
        _running[source] = None
        assert source.stdout is not None
        try:
            with source.stdout:
                done = run(consumer, check=False, stdin_file=source.stdout)
            source.wait()
        finally:
            _end(source)
        said.seek(0)
        complaint = said.read().decode(errors="replace")
    if source.returncode not in {0, -signal.SIGPIPE}:
        raise CommandError(words, source.returncode, complaint)
    if done.returncode != 0:
        raise CommandError(consumer, done.returncode, done.stderr or done.stdout)
    return done


def _communicate(
    process: subprocess.Popen[bytes],
    stdin: bytes | None,
    timeout: float | None,
    on_line: Callable[[str], None] | None,
    watch: Callable[[], None] | None,
) -> tuple[str, str]:
    if watch is not None and process.stdin is not None:
        # communicate() forgets what was not yet written when it is called again
        pipe, process.stdin, data, stdin = process.stdin, None, stdin or b"", None
        threading.Thread(target=_feed, args=(pipe, data), daemon=True).start()
    if on_line is None:
        out, err = _watched(lambda seconds: process.communicate(stdin, seconds), timeout, watch)
        return out.decode(errors="replace"), err.decode(errors="replace")
    assert process.stdout is not None and process.stderr is not None
    texts: tuple[list[str], list[str]] = ([], [])
    readers = [
        threading.Thread(target=_read_lines, args=(stream, text, on_line), daemon=True)
        for stream, text in zip((process.stdout, process.stderr), texts, strict=True)
    ]
    for reader in readers:
        reader.start()
    if process.stdin is not None:
        with process.stdin:
            process.stdin.write(stdin or b"")
    _watched(process.wait, timeout, watch or _nothing)
    for reader in readers:
        reader.join()
    return "\n".join(texts[0]), "\n".join(texts[1])


def _nothing() -> None:
    """In a watcher's place: a wait without end holds a lock that who ends the child in a signal's handler needs."""


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:  # who ended early did not want it
        pipe.write(data)


def _watched(
    wait: Callable[[float | None], T], timeout: float | None, watch: Callable[[], None] | None, tick: float = 0.5
) -> T:
    """``wait(timeout)``, in pieces between which ``watch`` is called."""
    if watch is None:
        return wait(timeout)
    end = time.monotonic() + timeout if timeout is not None else None
    while True:
        left = tick if end is None else min(tick, end - time.monotonic())
        try:
            return wait(max(left, 0))
        except subprocess.TimeoutExpired as e:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(e.cmd, timeout or 0) from None
        watch()


def _read_lines(stream: IO[bytes], text: list[str], on_line: Callable[[str], None]) -> None:
    pending = b""
    while chunk := stream.read1(65536):  # type: ignore[attr-defined]
        *lines, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace")
            text.append(line)
            on_line(line)
    if pending:
        text.append(pending.decode(errors="replace"))
        on_line(text[-1])

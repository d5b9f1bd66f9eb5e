"""Programs that tests, benches and this checkout's own tasks run to their end, by the package ``sh``::

    qemu_img("create", "-q", "-f", "qcow2", disk, "16M")            # fails the test when the program fails
    done = attempt("flock", "--nonblock", lock, "true", cwd=root)   # any status: done.returncode, .stdout, .stderr

A program that a test signals, kills at some moment or talks to while it runs is started by tests/support/processes.py.
A call costs 4 ms of processor time more than with subprocess, and 10 ms in a process of 120 MB: sh forks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import sh

SECONDS = 600.0
"""How long a program may take where a test says nothing."""
_CHUNK = 64 * 1024
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Word = str | Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended (below 0: by that signal) and what it said; bytes that are no UTF-8 are surrogates."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class FailedError(Exception):
    """A program ended with a status other than 0."""

    def __init__(self, done: Ended) -> None:
        self.done = done
        super().__init__(f"{shlex.join(done.argv)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")


def attempt(
    *argv: Word,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = b"",
    output: IO[bytes] | None = None,
    timeout: float | None = SECONDS,
    new_session: bool = True,
) -> Ended:
    """Run a program to its end, whatever its status. ``env`` is its whole environment, where it is looked for, too.
    stdout and stderr go to the file ``output`` when one is given. Unless ``new_session`` is false (sudo remembers a
    password for a terminal) the program leads a session, which a terminal's Ctrl-C does not reach. It is killed with
    its process group after ``timeout`` seconds, and when an exception passes through here.

    :raises TimeoutError: it took longer. :raises FileNotFoundError: there is no such program.
    """
    words = [str(word) for word in argv]
    command = _baked(words[0], env)
    late = threading.Event()
    running: sh.RunningCommand | None = None
    try:
        with _input(stdin) as read, _safe_fork() as at_home:
            running = command(
                words[1:],
                _in=read,
                _out=output,
                _err=output,
                _cwd=str(cwd) if cwd else None,
                _env=dict(env) if env is not None else None,
                _preexec_fn=at_home,
                _new_session=new_session,
            )
        with _alarm(running, timeout, late):
            status = running.process.wait()
    except BaseException:
        if running is not None:  # bool() of it would wait
            _kill(running)
            with contextlib.suppress(ChildProcessError):  # it ended a moment before
                running.process.wait()
        raise
    said = [text.decode(errors="surrogateescape") for text in (running.process.stdout, running.process.stderr)]
    done = Ended(tuple(words), status, *said)
    if late.is_set():
        raise TimeoutError(f"it takes longer than {timeout} s: {done}")
    return done


def call(
    *argv: Word,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = b"",
    timeout: float | None = SECONDS,
) -> Ended:
    """As :func:`attempt`. :raises FailedError: the program ended with a status other than 0."""
    done = attempt(*argv, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
    if done.returncode != 0:
        raise FailedError(done)
    return done


def on_terminal(*argv: Word) -> int:
    """Run a program on our own terminal; returns its exit status."""
    try:
        sh.Command(str(argv[0]))([str(word) for word in argv[1:]], _fg=True)
    except sh.ErrorReturnCode as e:
        return e.exit_code
    return 0


def program(*words: Word) -> Callable[..., Ended]:
    """A program as a function, with its first arguments: what :func:`call` does with it."""
    return partial(call, *words)


mount = program("mount")
python = program(sys.executable)
qemu_img = program("qemu-img")
qemu_io = program("qemu-io")
umount = program("umount")


def _baked(name: str, env: Mapping[str, str] | None) -> sh.Command[sh.RunningCommand]:
    """Without a terminal, in large pieces. In the background, so that its number is known before it ends: it is our
    own thread that waits. A relative path is the child's, which env(1) looks up; sh would look from our folder."""
    path = env["PATH"].split(os.pathsep) if env is not None and "PATH" in env else None
    relative = "/" in name and not name.startswith("/")
    try:
        command = sh.Command("env").bake(name) if relative else sh.Command(name, path)
    except sh.CommandNotFound:  # an AttributeError
        raise FileNotFoundError(errno.ENOENT, "no such program", name) from None
    return command.bake(
        _bg=True,
        _bg_exc=False,
        _tty_out=False,
        _encoding="utf-8",
        _out_bufsize=_CHUNK,
        _err_bufsize=_CHUNK,
        _no_pipe=True,
    )


def _kill(running: sh.RunningCommand) -> None:
    with contextlib.suppress(ProcessLookupError):
        leads = running.process.pgid == running.process.pid
        running.process.kill_group() if leads else running.process.kill()


@contextlib.contextmanager
def _alarm(running: sh.RunningCommand, timeout: float | None, late: threading.Event) -> Iterator[None]:
    """Kill it when the time is over. sh's own ``_timeout`` looks ten times a second: each call, however short, would
    take a tenth of a second."""
    if timeout is None:
        yield
        return

    def over() -> None:
        late.set()
        _kill(running)

    timer = threading.Timer(timeout, over)
    timer.daemon = True
    try:
        timer.start()
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _input(data: str | bytes) -> Iterator[IO[bytes]]:
    """A file to read it from: sh writes what is not a file one byte at a time."""
    if not data:
        with Path(os.devnull).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.seek(0)
        yield file


@contextlib.contextmanager
def _safe_fork() -> Iterator[Callable[[], None]]:
    """sh runs Python between fork and exec. A Ctrl-C there would be pytest's own in the child, which would then take
    away what the tests still use. So signals wait until the child is on its own: what is yielded makes it so.

    The child ignores what we ignore; sh would have it ignore SIGHUP, too.
    """
    own = {number: signal.getsignal(number) == signal.SIG_IGN for number in _SIGNALS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def at_home() -> None:
        for number, ignored in own.items():
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield at_home
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

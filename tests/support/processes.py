"""Processes that a test talks to, signals or kills while they run; by subprocess, because sh hides what matters then:
each stream for itself, a status that is asked for without waiting, and that no thread of ours reaps or reads.

They lead a session of their own, so that a terminal's Ctrl-C reaches the tests alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE
Process = subprocess.Popen[str]
Server = subprocess.Popen[bytes]
Word = str | Path


def start(*argv: Word, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: int = DEVNULL) -> Process:
    """What it says comes through two pipes; ``env`` is its whole environment."""
    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def alive(pid: int) -> bool:
    """Whether it runs: neither gone, at whatever moment we look, nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def talk(*argv: Word, cwd: Path | None = None, quiet: bool = False) -> Process:
    """A conversation over stdin and stdout. Its complaints are seen with ours, or by nobody when it is ``quiet``."""
    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL if quiet else None,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def serve(
    *argv: Word, log: IO[bytes] | None = None, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Server:
    """Nobody listens to it: what it says goes to the file ``log``, or nowhere."""
    said = DEVNULL if log is None else log
    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        stdin=DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )


def driven(*argv: Word, log: IO[bytes], env: Mapping[str, str] | None = None) -> tuple[Server, int, int]:
    """A program that takes orders at its file descriptor 3 and answers at 4; returns our ends of these pipes, too."""
    (orders, ours), (theirs, answers) = os.pipe(), os.pipe()
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{orders} 4>&{answers}', "bash", *map(str, argv)],
        stdin=DEVNULL,
        stdout=log,
        stderr=log,
        env=env,
        pass_fds=(orders, answers),
        start_new_session=True,
    )
    os.close(orders)
    os.close(answers)
    return process, ours, theirs


def settle(process: Process | Server, seconds: float) -> None:
    """Wait for its end; kill what takes longer, with its process group."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def left(folder: Path) -> list[str]:
    """Command lines of living processes that name something in ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name == str(os.getpid()):
            continue
        try:
            words = path.read_bytes().replace(b",,", b",").split(b"\0")
        except OSError:
            continue
        if any(os.fsencode(folder) in word for word in words):
            found.append(os.fsdecode(b" ".join(words)))
    return found

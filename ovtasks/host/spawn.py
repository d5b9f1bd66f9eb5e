"""Programs that outlive us: QEMU, and what serves its guest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ovtasks.host.files import create, write_atomic
from ovtasks.host.run import require

_spawned: list[subprocess.Popen[bytes]] = []


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

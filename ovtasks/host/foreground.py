"""Runs a program that has our terminal, or our standard streams, for itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from ovtasks.host.run import require, which

GRACE = 5.0
"""Seconds that a program gets to end by itself."""


def foreground(argv: Sequence[str]) -> int:
    """Run a program with our stdin, stdout and stderr; returns its exit status: 128 and the number for a signal.

    It shares our process group, so that Ctrl-C reaches it, too. It ends when we do, however that happens.

    :raises MissingProgramError: it is not installed.
    """
    words = [str(require(argv[0])), *argv[1:]]
    setpriv = which("setpriv")
    guard = [str(setpriv), "--pdeathsig", "KILL", "--"] if setpriv else []
    process = subprocess.Popen([*guard, *words], env={**os.environ})
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return code if code >= 0 else 128 - code

"""One program piped into another, both ended in order."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovtasks.host.hearing import listener
from ovtasks.host.run import CommandError, Result, end_child, require, run, start_child


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
        source = start_child(words, subprocess.DEVNULL, said, env=env, cwd=cwd)
        assert source.stdout is not None
        try:
            with source.stdout:
                done = run(
                    consumer, check=False, stdin_file=source.stdout, env=env, cwd=cwd, end=lambda: end_child(source)
                )
            while source.poll() is None:  # nobody reads what it writes any more
                time.sleep(0.02)
        finally:
            end_child(source)
        said.seek(0)
        complaint = said.read().decode(errors="replace")
    if (hears := listener()) is not None:
        hears.stream()(complaint.encode())
        hears.ends(source.returncode)
    gone = done.returncode != 0 and "broken pipe" in complaint.lower()
    if source.returncode not in {0, -signal.SIGPIPE} and not gone:
        raise CommandError(words, source.returncode, complaint)
    if done.returncode != 0:
        raise CommandError(consumer, done.returncode, done.stderr or done.stdout)
    return done

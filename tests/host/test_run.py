"""The gateway while somebody watches: input of any size arrives, and what the watcher raises ends the child."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ovtasks.host.run import CommandError, run

LARGE = b"y" * 300_000  # more than a pipe holds


def ignore() -> None:
    """Watch, and let it go on."""


def ignore_line(line: str) -> None:
    """Hear, and let it go on."""


def test_input_of_any_size_arrives_at_a_late_reader() -> None:
    done = run(["sh", "-c", "sleep 1.2; wc -c"], stdin=LARGE, watch=ignore, timeout=60)
    assert int(done.stdout) == len(LARGE)
    done = run(["sh", "-c", "sleep 1.2; wc -c"], stdin=LARGE, watch=ignore, on_line=ignore_line, timeout=60)
    assert int(done.stdout) == len(LARGE)


def test_input_that_nobody_reads_is_no_error() -> None:
    assert run(["true"], stdin=LARGE, watch=ignore).returncode == 0


def test_what_the_watcher_raises_ends_the_child(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def watch() -> None:
        if pid.exists() and pid.read_text().strip():
            raise KeyError("the VM ended")

    started = time.monotonic()
    with pytest.raises(KeyError, match="the VM ended"):
        run(["sh", "-c", f"echo $$ >'{pid}'; exec sleep 300"], watch=watch)
    assert time.monotonic() - started < 60
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_watched_child_has_its_time_limit() -> None:
    with pytest.raises(CommandError, match=r"took longer than 1\.2 s"):
        run(["sleep", "300"], watch=ignore, timeout=1.2)

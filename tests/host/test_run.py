"""The gateway while somebody watches: input of any size arrives, and what the watcher raises ends the child."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ovtasks.host.run import CommandError, run
from tests.support.processes import start

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


ENDS_CHILDREN = """
import signal, sys
from ovtasks.host.run import run, stop_all

def end(number, frame):
    stop_all()
    sys.exit(3)

signal.signal(signal.SIGTERM, end)
run(["sh", "-c", "echo ready; exec sleep 300"], on_line=lambda line: print(line, flush=True))
"""


def test_a_signal_ends_a_child_that_is_listened_to_at_once() -> None:
    with start(sys.executable, "-c", ENDS_CHILDREN) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 3
        assert time.monotonic() - started < 30

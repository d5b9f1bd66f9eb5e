"""Ctrl-C at any moment: no traceback, a status that says so."""

from __future__ import annotations

import os
import random
import signal
import subprocess  # a byte on a pipe says that the time for a signal has come
import sys
import time
from pathlib import Path

import pytest

from ovtasks.cli import interrupts
from ovtasks.cli.main import run
from tests.support.programs import attempt
from tests.support.workbench import OV

COMMANDS = [["vm", "list"], ["--help"], ["validate"], ["settings", "list"], ["plan"]]
# Until our first line has run, Python itself answers Ctrl-C; this program says when that is over.
READY = """
import os, sys
sys.argv[0] = "ov"
from ovtasks import cli
first = cli._before_any_import
cli._before_any_import = lambda: (first(), os.write(1, b"!"))
sys.exit(cli.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_traceback_whenever_it_comes(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "vms.yml").write_text("vms: {}\n", encoding="utf-8")
    seconds = time.monotonic()
    attempt(*OV, *words, cwd=tmp_path)
    seconds = time.monotonic() - seconds
    statuses = set()
    for _ in range(25):
        process = subprocess.Popen(
            [sys.executable, "-c", READY, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(random.uniform(0, seconds))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0].decode()
        assert "Traceback" not in said and "Exception ignored" not in said, said
        statuses.add(process.returncode)
    assert statuses <= {0, 2, 130, -signal.SIGINT}
    assert statuses & {130, -signal.SIGINT}


def test_an_error_that_an_interrupt_was_made_into_is_the_interrupt() -> None:
    """Python 3.11 wraps what is raised while a class is made: the import looks broken."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)
            except KeyboardInterrupt:
                raise ImportError("cannot import name 'x' from partially initialized module 'y'") from None
        with pytest.raises(ImportError), interrupts.raised():
            raise ImportError("a real one")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_puts_the_handler_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that fails: who calls us in its own process keeps its Ctrl-C."""
    own = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGINT, own)
    try:
        for words, code in ((["--version"], 0), (["-C", str(tmp_path), "validate"], 2), (["nonsense"], 2)):
            assert run(words) == code
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_ignores_interrupts_goes_on_ignoring_them() -> None:
    """A shell starts what runs in a script's background so."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.raised():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

"""How the tests run programs: what ``sh`` would do otherwise is not what they mean."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.support.programs import FailedError, attempt, call, program, python

ROOT = Path(__file__).parents[1]


def test_a_program_that_fails_is_an_error_with_all_that_it_said() -> None:
    assert program("sh", "-c")("echo out; echo err >&2").stdout == "out\n"
    done = attempt("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    with pytest.raises(FailedError, match=r"status 3\nout\n\nerr") as caught:
        call("sh", "-c", "echo out; echo err >&2; exit 3")
    assert caught.value.done == done
    assert attempt("sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="no such program: 'none-such'"):
        attempt("none-such")


def test_streams_are_no_terminals_and_bytes_stay_as_they_are(tmp_path: Path) -> None:
    assert python("-c", "import os; print([os.isatty(n) for n in range(3)])").stdout == "[False, False, False]\n"
    data = bytes(range(256)) * 4096
    assert os.fsencode(call("cat", stdin=data).stdout) == data
    assert call("cat", stdin="é\r\n").stdout == "é\r\n"
    assert call("cat").stdout == ""
    with (tmp_path / "both").open("wb") as file:
        assert attempt("sh", "-c", "echo one; echo two >&2; echo three", output=file).stdout == ""
    assert (tmp_path / "both").read_text() == "one\ntwo\nthree\n"


def test_a_program_on_our_own_terminal_has_our_streams() -> None:
    script = "from tests.support.programs import on_terminal; print(on_terminal('sh', '-c', 'cat; exit 3'))"
    assert call(sys.executable, "-c", script, cwd=ROOT, stdin="typed\n").stdout == "typed\n3\n"


def test_the_environment_is_the_whole_one(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text('#!/bin/sh\necho "$A $PWD"\n')
    (tmp_path / "mine").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "A": "a"}
    assert call("mine", env=env, cwd=tmp_path).stdout == f"a {tmp_path}\n"
    assert "HOME" not in call("env", env=env).stdout
    assert call("./mine", env={**env, "PATH": ""}, cwd=tmp_path).stdout == f"a {tmp_path}\n"


def test_the_package_need_not_be_compiled_by_each_of_them() -> None:
    """Also where PYTHONDONTWRITEBYTECODE is set (tests/support/bytecode.py)."""
    paths = [path for path in (ROOT / "ovtasks").rglob("*.py") if path.stat().st_uid == os.geteuid()]
    stale = []
    for path in paths:
        compiled = Path(cache_from_source(path))
        time_stamp = int(path.stat().st_mtime).to_bytes(4, "little")
        if not compiled.exists() or compiled.read_bytes()[8:12] != time_stamp:
            stale.append(path)
    assert stale == []


def test_signals_are_as_they_were() -> None:
    """sh would have the child ignore SIGHUP; and none of those that wait during the fork waits for ever."""
    status = dict(line.split(":\t") for line in call("grep", "^Sig", "/proc/self/status").stdout.splitlines())
    ours = {number for number in range(1, 32) if signal.getsignal(number) == signal.SIG_IGN} - {signal.SIGPIPE}
    ignored = {number for number in range(1, 32) if int(status["SigIgn"], 16) >> (number - 1) & 1}
    assert int(status["SigBlk"], 16) == 0
    assert ignored & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} == ours & {1, 2, 15}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_what_takes_too_long_is_killed() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="early"):
        attempt("sh", "-c", "echo early; exec sleep 300", timeout=3)
    assert time.monotonic() - started < 60


def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    pid, main = tmp_path / "pid", threading.get_ident()

    def interrupt() -> None:
        while not (pid.exists() and pid.read_text().endswith("\n")):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    def raising(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, raising)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call("sh", "-c", f"echo $$ >'{pid}'; exec sleep 60")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert not Path("/proc", pid.read_text().strip()).exists()


CTRL_C = """
import os, signal
from tests.support import programs

def ours(number, frame):
    print("handler in", os.getpid() == parent, flush=True)

parent = os.getpid()
signal.signal(signal.SIGINT, ours)
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
print(programs.attempt("true").returncode)
"""


def test_an_interrupt_between_fork_and_exec_is_not_ours() -> None:
    """The child dies of it; our handlers and ``finally`` do not run there a second time."""
    assert python("-c", CTRL_C, cwd=ROOT).stdout == f"{-signal.SIGINT}\n"

"""The gateway waits for its child, whatever has the child's pipes; and what a child says arrives whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.host.process_tree import GRACE
from ovtasks.host.run import CommandError, Result, run
from tests.support.processes import alive, serve
from tests.support.user import may_sudo, new_user

AT_ONCE = 10.0
"""Seconds; what is left behind stays for 300."""


def gone(pid: int) -> bool:
    """A signal that was sent arrives in a moment."""
    end = time.monotonic() + 30
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(pid)


def timed(act: Callable[[], Result]) -> Result:
    start = time.monotonic()
    done = act()
    assert time.monotonic() - start < AT_ONCE
    return done


LEFT = {
    "both pipes": "sleep 300 & echo $! >pid; echo out; echo err >&2; exit 3",
    "stdout": "sleep 300 2>/dev/null & echo $! >pid; echo out; echo err >&2; exit 3",
    "stderr": "sleep 300 >/dev/null & echo $! >pid; echo out; echo err >&2; exit 3",
    "stdin, too": "sleep 300 <&3 3<&- & echo $! >pid; echo out; echo err >&2; exit 3",
    "talks for ever": "(echo $(exec sh -c 'echo $PPID') >pid; exec yes tick >&2) & sleep 0.1; echo out; exit 3",
}


@pytest.mark.parametrize(("name", "heard"), [(name, number % 2 == 0) for number, name in enumerate(LEFT)])
def test_what_a_child_leaves_in_its_group_is_not_waited_for(name: str, heard: bool, tmp_path: Path) -> None:
    lines: list[str] = []
    done = timed(
        lambda: run(
            ["sh", "-c", f"exec 3<&0; {LEFT[name]}"],
            check=False,
            cwd=tmp_path,
            stdin=b"x" * 300_000 if name == "stdin, too" else None,
            on_line=lines.append if heard else None,
        )
    )
    assert (done.returncode, done.stdout.strip()) == (3, "out")
    assert done.stderr.strip() == "err" or name == "talks for ever"
    assert not heard or "out" in lines
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_daemon_of_its_own_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n os.setsid()\n open('pid', 'w').write(str(os.getpid()))\n time.sleep(300)\n"
        "while not os.path.exists('pid') or not open('pid').read(): time.sleep(0.01)\n"
        "print('started')\n"
    )
    done = timed(lambda: run([sys.executable, "-c", code], cwd=tmp_path))
    pid = int((tmp_path / "pid").read_text())
    try:
        assert done.stdout == "started\n"
        assert alive(pid)
    finally:
        os.kill(pid, 9)


def test_all_that_was_said_before_the_end_arrives(tmp_path: Path) -> None:
    """A full pipe and a holder of it: not a byte is lost."""
    script = "sleep 300 & echo $! >pid; head -c 60000 /dev/zero | tr '\\0' x; head -c 60000 /dev/zero | tr '\\0' y >&2"
    done = timed(lambda: run(["sh", "-c", script], cwd=tmp_path))
    assert (done.stdout, done.stderr) == ("x" * 60000, "y" * 60000)


def test_a_child_that_closes_its_pipes_is_waited_for(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run(["sh", "-c", "echo said; exec >&- 2>&-; sleep 1; : >file; exit 5"], cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (5, "said\n")
    assert time.monotonic() - start >= 1 and (tmp_path / "file").exists()


def test_time_limit_of_a_child_that_closed_its_pipes() -> None:
    with pytest.raises(CommandError, match=r"took longer than 0\.5 s"):
        run(["sh", "-c", "exec >&- 2>&-; exec sleep 300"], timeout=0.5)


@pytest.mark.parametrize("heard", [False, True])
def test_much_without_a_line_end(heard: bool) -> None:
    """30 MB of one line; quadratic work would take minutes."""
    lines: list[str] = []
    code = "import sys; sys.stdout.write('é' * 15_000_000)"
    done = run([sys.executable, "-X", "utf8", "-c", code], on_line=lines.append if heard else None)
    assert len(done.stdout) == 15_000_000 and set(done.stdout) == {"é"}
    assert not heard or len(lines) == 1


def test_bytes_that_are_no_text() -> None:
    lines: list[str] = []
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)"
    done = run([sys.executable, "-c", code], on_line=lines.append)
    assert len(lines) == 2 * 1000 + 1 and "\ufffd" in done.stdout


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b" 1%\r 2%\r100%\r\n", [" 1%", " 2%", "100%"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"\n", [""]),
        (b"", []),
        (b"no end", ["no end"]),
    ],
)
def test_lines(said: bytes, lines: list[str]) -> None:
    """Also when they come in pieces: what is cut between a carriage return and its line feed is one line end."""
    heard: list[str] = []
    code = "import sys, time\nfor byte in {!r}:\n sys.stdout.buffer.write(bytes([byte]))\n sys.stdout.buffer.flush()"
    run([sys.executable, "-c", code.format(said)], on_line=heard.append)
    assert heard == lines


def test_who_hears_a_line_and_cannot_bear_it_ends_the_child(tmp_path: Path) -> None:
    def hear(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError, match="first"):
        run(["sh", "-c", "echo $$ >pid; echo first; exec sleep 300"], cwd=tmp_path, on_line=hear)
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_early_end_takes_the_whole_tree(tmp_path: Path) -> None:
    """A child that does not listen to SIGTERM, and one in a session of its own that does not either."""
    inner = "trap '' TERM; echo $$ >inner; while :; do sleep 1; done"
    script = f"trap '' TERM; setsid sh -c \"{inner.replace('$', chr(92) + '$')}\" & echo $$ >outer; wait; sleep 300"
    start = time.monotonic()
    with pytest.raises(CommandError, match="took longer than 5 s"):
        run(["sh", "-c", script], cwd=tmp_path, timeout=5)
    assert time.monotonic() - start < 5 + AT_ONCE
    assert gone(int((tmp_path / "inner").read_text())) and gone(int((tmp_path / "outer").read_text()))


def test_nothing_to_put_in_order_is_ended_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.5 s"):
        run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout=0.5, grace=0)
    assert time.monotonic() - start < 0.5 + GRACE


@pytest.mark.slow
@pytest.mark.root
def test_what_sudo_runs_is_ended_too() -> None:
    """Root's processes: a signal of ours does not reach them, sudo's does."""
    with new_user(subordinate=False) as user, may_sudo(user):
        start = time.monotonic()
        process = user.start("tests.host.sudo_child")
        said = process.communicate(timeout=60)[0].decode()
        assert said.strip().endswith("took longer than 10 s"), said
        assert time.monotonic() - start < 10 + AT_ONCE + 5
        assert gone(int((user.home / "pid").read_text()))


ENDS = """
import signal, sys, threading, time
from ovtasks.host.run import CommandError, run, stop_all

def end(number, frame):
    stop_all()
    sys.exit(3)

def step(number):
    try:
        run(["sh", "-c", f"trap '' TERM; echo $$ >pid{number}; while :; do sleep 1; done"])
    except CommandError:
        pass

signal.signal(signal.SIGINT, end)
for number in range(4):
    threading.Thread(target=step, args=(number,), daemon=True).start()
step(4)
"""


@pytest.mark.slow
def test_five_stubborn_children_end_together(tmp_path: Path) -> None:
    with serve(sys.executable, "-c", ENDS, cwd=tmp_path) as process:
        while len([path for path in tmp_path.glob("pid*") if path.read_text()]) < 5:
            assert process.poll() is None
            time.sleep(0.02)
        start = time.monotonic()
        process.send_signal(2)
        assert process.wait(30) == 3
        assert time.monotonic() - start < AT_ONCE
    assert all(gone(int(path.read_text())) for path in tmp_path.glob("pid*"))

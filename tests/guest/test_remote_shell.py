"""The loop that reads scripts in a guest, run here, by every shell that a distribution calls sh."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.guest.exchange import NO_STATUS, ScriptOutput, StdStream, Tail
from ovtasks.guest.remote_shell import CUT_SHORT, framed, loop_command
from ovtasks.host.run import Result, require, run


@pytest.fixture(params=["sh", "bash", "busybox"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder for PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(require(request.param))
    if request.param == "busybox":
        (folder / "head").symlink_to(require("busybox"))
    return folder


def loop(programs: Path, stdin: bytes) -> Result:
    env = {"PATH": f"{programs}:/usr/bin:/bin"}
    return run(["sh", "-c", loop_command(root=False)], check=False, stdin=stdin, env=env, timeout=60)


def test_half_a_script_does_nothing(programs: Path, tmp_path: Path) -> None:
    """As when we are killed while it is sent: wherever it is cut, what has come is not run."""
    frame = framed(f"touch {tmp_path}/ran\n:\n".encode(), "token", env={"A": "b"}, feed=False)
    for size in (len(frame) - 1, len(frame) - len("#token"), frame.index(b"\n:") + 1, frame.index(b"touch")):
        assert loop(programs, frame[:size]).returncode == CUT_SHORT
    assert not (tmp_path / "ran").exists()


def test_what_comes_out(programs: Path) -> None:
    """Fed with content, a script has no watcher, which would end it here: there is nothing more on stdin."""
    done = loop(programs, framed(b'printf %s "$A"; cat >&2', "token", env={"A": "it's"}, feed=True))
    assert (done.returncode, done.stdout, done.stderr) == (0, "token\nit'stoken=0\n", "token\ntoken=0\n")


def test_the_loop_ends_when_nothing_comes(programs: Path) -> None:
    assert loop(programs, b"") == Result(0, "", "")


def test_login_shells_of_all_kinds_read_it() -> None:
    """fish and csh know other escapes: none of them is in the text."""
    for root in (False, True):
        text = loop_command(root=root).replace("$!;", "")  # csh looks at ! when somebody types it, not here
        assert not set("\\!\n") & set(text) and text.count("'") == (4 if root else 2)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_scripts_part_of_a_stream(size: int) -> None:
    """However it is cut: nothing before the first mark, nothing after the last, and what only looks like one."""
    heard: list[bytes] = []
    output = ScriptOutput("token", StdStream.OUT, lambda data, stream: heard.append(data))
    said = b"noise token\nnoise\ntoken\nout tok token\ntoken \xff\ntokentoken=30\ntoken=4\nlate"
    for start in range(0, len(said), size):
        output.feed(said[start : start + size])
    assert (b"".join(heard), output.status) == (b"noise\ntoken\nout tok token\ntoken \xff\ntoken", 30)


def test_a_status_that_is_none() -> None:
    """From a guest that means us harm."""
    output = ScriptOutput("token", StdStream.OUT, lambda data, stream: None)
    output.feed(b"token\ntoken=\xffx\n")
    assert output.status == NO_STATUS


def test_the_end_of_what_is_said() -> None:
    tail = Tail(4)
    for _ in range(5):
        tail.add(b"abc")
        tail.add(b"")
    assert bytes(tail) == b"cabc"
    assert bytes(Tail(4)) == b""

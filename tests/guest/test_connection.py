"""One connection, many scripts, against a real sshd."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection, connect
from ovtasks.guest.connection_errors import ConnectionLostError, TookTooLongError
from ovtasks.guest.exchange import StdStream
from ovtasks.guest.session import TAIL_BYTES
from ovtasks.host.run import require
from tests.support.processes import alive
from tests.support.programs import call
from tests.support.sshd import Sshd, new_sshd

ODD = "it's $x\n\"`ü\\n!"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """Not started, for tests that change it."""
    with new_sshd(tmp_path / "sshd") as server:
        yield server


def test_status_and_both_streams(guest: Connection) -> None:
    done = guest.run("echo out; echo err >&2; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert (guest.run("kill -9 $(sh -c 'echo $PPID')").status, guest.run("false").status) == (137, 1)


def test_a_script_cannot_read_the_next_one(guest: Connection) -> None:
    assert guest.run("cat; echo end").stdout == b"end\n"
    assert guest.run("read -r line <&3; echo $?").stdout.endswith(b"\n")
    assert guest.run("echo next").stdout == b"next\n"


def test_scripts_know_nothing_of_each_other(guest: Connection) -> None:
    guest.run("cd /; umask 0; export LEFT=1; exec 9>/dev/null; set -e; f() { :; }; trap 'echo trap' EXIT; exec true")
    done = guest.run('echo "$PWD $(umask) $LEFT"; false; f; echo after')
    assert done.text.startswith(f"{Path.home()} 00") and done.text.endswith(" \nafter\n")
    assert "f" in done.error and "0000" not in done.text


def test_variables_come_by_the_script(guest: Connection) -> None:
    done = guest.run('printf %s "$ODD"; tr "\\0" "\\n" </proc/$PPID/cmdline >&2', env={"ODD": ODD, "SECRET": "s3cret"})
    assert done.text == ODD and "s3cret" not in done.error
    for name, value in (("A B", "x"), ("A", "\0")):
        with pytest.raises(ValueError, match="variable"):
            guest.run(":", env={name: value})


def test_no_argv_shows_a_script(guest: Connection) -> None:
    done = guest.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '[n]eedle-5021'; : needle-5021")
    assert done.text == "0\n"


def test_output_that_is_no_text(guest: Connection) -> None:
    script = b"printf '\\200\\377\\000'; : \xff\xfe; printf '\\001' >&2; printf '%s' '\x80\xff'"
    done = guest.run(script)
    assert (done.stdout, done.stderr) == (b"\x80\xff\0\x80\xff", b"\x01")
    with pytest.raises(ValueError, match="NUL"):
        guest.run(b"echo \0")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_a_script_of_five_megabytes(shell: str, server: Sshd) -> None:
    """In every shell that a distribution calls sh, however it reads."""
    (server.programs / "sh").symlink_to(require(shell))
    if shell == "busybox":
        (server.programs / "head").symlink_to(require(shell))
    server.start()
    filler = b": '" + b"xy\xff" * ((5 << 20) // 3) + b"'\n"
    with connect(server.target) as guest:
        done = guest.run(b"echo begin\n" + filler + b"cat\necho end >&2\nexit 3")
        assert (done.status, done.stdout, done.stderr) == (3, b"begin\n", b"end\n")
        assert guest.run("echo next").text == "next\n"


def test_output_comes_as_it_is_said(guest: Connection, tmp_path: Path) -> None:
    """The script goes on only when we have heard its first word."""
    heard: list[tuple[bytes, StdStream]] = []

    def hear(data: bytes, stream: StdStream) -> None:
        heard.append((data, stream))
        (tmp_path / "go").touch()

    done = guest.run(f"printf one; until [ -e {tmp_path}/go ]; do :; done; echo two >&2", on_output=hear, timeout=30)
    assert heard == [(b"one", StdStream.OUT), (b"two\n", StdStream.ERR)]
    assert (done.stdout, done.stderr) == (b"one", b"two\n")


BIG = """
import resource, sys
from pathlib import PosixPath
from ovtasks.guest.connection import connect
from ovtasks.guest.target import Target
size = 0
def count(data, stream):
    global size
    size += len(data)
with connect({target!r}) as guest:
    guest.run("true")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = guest.run("head -c 50000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo end", on_output=count)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(size, len(done.stdout), len(done.stderr), done.stdout[-4:], grown < 20_000)
"""


@pytest.mark.slow
def test_fifty_megabytes_need_no_memory(shared: Sshd) -> None:
    said = call(sys.executable, "-c", BIG.format(target=shared.target)).stdout
    assert said.split() == ["51000004", str(TAIL_BYTES), str(TAIL_BYTES), "b'end\\n'", "True"]


def test_background_processes_are_not_waited_for(guest: Connection, tmp_path: Path) -> None:
    """Nor ended: their output is nobody's, and the next script's is its own."""
    script = f"(until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo late; echo $? >{tmp_path}/said) & echo early"
    assert guest.run(script, timeout=30).text == "early\n"
    (tmp_path / "go").touch()
    done = guest.run(f"until [ -s {tmp_path}/said ]; do sleep 0.05; done; echo next", timeout=30)
    assert done.text.endswith("next\n")


@pytest.mark.slow
def test_what_a_login_shell_says_is_not_the_scripts(server: Sshd) -> None:
    config = server.folder / "sshd_config"
    noise = 'echo noise; echo noise >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    config.write_text(f"{config.read_text()}ForceCommand {noise}\n")
    server.start()
    with connect(server.target) as guest:
        done = guest.run("echo out; echo err >&2")
        assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.slow
def test_a_user_without_a_shell(server: Sshd) -> None:
    config = server.folder / "sshd_config"
    config.write_text(f"{config.read_text()}ForceCommand echo This account is not available.; exit 1\n")
    server.start()
    with connect(server.target) as guest, pytest.raises(OvError, match="account is not available") as caught:
        guest.run("echo out")
    assert "login shell" in str(caught.value.hint) and not isinstance(caught.value, ConnectionLostError)


def test_a_command_is_the_users_shells(guest: Connection) -> None:
    done = guest.command("cat; echo err >&2; exit 9", stdin=b"in\xff")
    assert (done.status, done.stdout, done.stderr) == (9, b"in\xff", b"err\n")
    with pytest.raises(TookTooLongError, match=r"longer than 0\.5 s"):
        guest.command("exec sleep 3", timeout=0.5)


@pytest.mark.slow
def test_two_threads_have_two_connections(shared: Sshd) -> None:
    said: dict[int, str] = {}

    def work(number: int) -> None:
        with connect(shared.target) as guest:
            said[number] = "".join(guest.run(f"echo {number}").text for _ in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {number: f"{number}\n" * 20 for number in range(2)}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["check", "output", "timeout"])
def test_what_ends_a_script_leaves_the_connection(way: str, guest: Connection, tmp_path: Path) -> None:
    """Nothing of it runs any more when the exception comes out."""
    pids = tmp_path / "pids"

    def interrupt() -> None:
        if pids.exists() and len(pids.read_text().split()) == 2:
            raise KeyboardInterrupt

    ways: dict[str, tuple[type[BaseException], dict[str, Callable[..., None] | float]]] = {
        "check": (KeyboardInterrupt, {"check": interrupt}),
        "output": (KeyboardInterrupt, {"on_output": lambda data, stream: interrupt()}),
        "timeout": (TookTooLongError, {"timeout": 10.0}),
    }
    error, options = ways[way]
    script = f"sleep 300 & echo $! >{pids}; sh -c 'echo $$ >>{pids}; echo go; sleep 300; :'"
    with pytest.raises(error):
        guest.run(script, **options)  # type: ignore[arg-type]
    assert len(pids.read_text().split()) == 2
    assert not [pid for pid in pids.read_text().split() if alive(int(pid))]
    assert guest.run("echo on").text == "on\n"


@pytest.mark.slow
def test_what_ignores_sigterm_is_killed(guest: Connection, tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ >{tmp_path}/pids; sh -c 'echo $$ >>{tmp_path}/pids; sleep 300; :'"
    with pytest.raises(TookTooLongError):
        guest.run(script, timeout=10.0)
    assert not [pid for pid in (tmp_path / "pids").read_text().split() if alive(int(pid))]

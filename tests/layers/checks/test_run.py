"""A run of checks: one script, repeated while something may still become true."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ovtasks.guest.connection import connect
from ovtasks.layers.checks.model import CheckOutcome
from ovtasks.layers.checks.script import answers
from tests.layers.checks.shell import CONTEXT, Answered, FastClock, Shell, part, run_checks
from tests.support.server import Site, serve
from tests.support.sshd import new_sshd


@dataclass
class Guest:
    """A guest whose answers a function makes: facts of check ``number`` in round ``looks``."""

    facts: Callable[[int, int], dict[str, str]]
    scripts: list[str] = field(default_factory=list)

    def run(self, script: str, /) -> Answered:
        """The facts, in the lines of the real script."""
        self.scripts.append(script)
        token = re.search(r"ovcheck-\w+", script)
        assert token
        lines = ["Welcome!"]
        for number in map(int, dict.fromkeys(re.findall(r"CHECK=(\d+)", script))):
            for name, value in self.facts(number, len(self.scripts)).items():
                lines.append(f"{token[0]} {number} {name} {base64.b64encode(value.encode()).decode()}")
        return Answered("\n".join(lines).encode())


def test_everything_in_the_guest_is_one_script() -> None:
    shell = Shell()
    parts = [part(file="/"), part(mcp="ping"), part(command="id"), part(user="root"), part(mount="/")]
    results = run_checks(shell, parts, CONTEXT)
    assert [one.outcome for one in results] == ["ok", "not carried out", "ok", "ok", "ok"]
    assert [one.verb for one in results] == ["file", "mcp", "command", "user", "mount"]
    assert [one.looks for one in results] == [1, 0, 1, 1, 1]
    assert all(0 <= one.seconds < 60 for one in results)
    assert len(shell.scripts) == 1


def test_nothing_to_look_at_asks_nobody() -> None:
    shell = Shell()
    assert run_checks(shell, [], CONTEXT) == []
    assert run_checks(shell, [part(mcp="ping"), part(matching="a", equals="a")], CONTEXT)[1].outcome == "ok"
    assert not shell.scripts


def test_a_service_is_looked_at_until_it_runs() -> None:
    """Others are not looked at again, whether they hold or not."""

    def facts(number: int, looks: int) -> dict[str, str]:
        state = "active" if looks >= 4 else "activating"
        return {"state": f"ActiveState={state}\n", "exists": "no", "ended": "1", "stat": ""}

    guest, clock = Guest(facts), FastClock()
    parts = [part(file="/none"), part(service="app", running=True), part(file="/none", exists=False)]
    results = run_checks(guest, parts, CONTEXT, clock=clock)
    assert [(one.outcome, one.looks) for one in results] == [("failed", 1), ("ok", 4), ("ok", 1)]
    assert 0.5 < clock.now < 10
    assert "/none" not in guest.scripts[1]


@pytest.mark.parametrize(
    ("data", "longest"),
    [
        ({"service": "app"}, 10),
        ({"service": "app", "timeout": "30s"}, 30),
        ({"service": "app", "running": False}, 0),
        ({"file": "/none", "eventually": "5s"}, 5),
        ({"file": "/none"}, 0),
    ],
)
def test_how_long_it_may_take(data: dict[str, str | bool], longest: int) -> None:
    """``eventually`` is for every check, ``timeout`` for what comes up by itself; a slow guest gets more."""

    def facts(number: int, looks: int) -> dict[str, str]:
        return {"state": f"ActiveState={'active' if data.get('running') is False else 'failed'}", "ended": "1"}

    for factor in (1.0, 10.0):
        clock = FastClock()
        context = replace(CONTEXT, factor=factor)
        (result,) = run_checks(Guest(facts), [part(**data)], context, clock=clock)
        assert result.outcome is CheckOutcome.FAILED
        assert longest * factor <= clock.now <= longest * factor + 2


def test_the_interval_of_looks_is_the_check_s_own() -> None:
    def facts(number: int, looks: int) -> dict[str, str]:
        return {"exists": "no", "ended": "1"}

    clock = FastClock()
    slow = part(file="/none", eventually="60s", retry_interval="20s")
    (result,) = run_checks(Guest(facts), [slow], CONTEXT, clock=clock)
    assert (result.outcome, result.looks) == ("failed", 4)


def test_a_guest_that_says_nothing_has_not_passed() -> None:
    results = run_checks(
        Guest(lambda number, looks: {}), [part(file="/none", exists=False), part(command="id")], CONTEXT
    )
    assert [one.told for one in results] == [
        "file: expected an answer of the guest, found none",
        "command: expected an answer of the guest, found none",
    ]


def test_only_our_lines_are_answers() -> None:
    """What a command prints cannot pass for a fact: the token is new each time. A line that is cut off is nothing."""
    lines = [
        b"T 0 exists eWVz",
        b"T 0 mode eWV",
        b"U 0 exists bm8=",
        b"T x exists bm8=",
        b"T 1 exists",
        b"junk T 0 a b",
    ]
    assert answers(b"\n".join(lines), "T") == {0: {"exists": b"yes"}}


@pytest.mark.parametrize("tool", ["sudo", "doas"])
def test_the_guest_s_user_looks_as_root_and_runs_commands_as_itself(tool: str, tmp_path: Path) -> None:
    """A stand-in for the tool says who it was called for; so does one for id."""
    programs = {
        "id": '[ "${AS_ROOT-}" ] && echo 0 || echo 1000',
        tool: 'shift; AS_ROOT=yes exec "$@"',
        "sudo" if tool == "doas" else "doas": "exit 1",
        "stat": '[ "${AS_ROOT-}" ] && echo "regular file|600|root|root|0|0|3"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    parts = [
        part(file="/etc/passwd", mode="0600"),
        part(command='echo "${AS_ROOT-mine} ${LC_ALL-}"', stdout=f"mine {os.environ.get('LC_ALL', '')}"),
    ]
    results = run_checks(Shell(tmp_path), parts, CONTEXT, clock=FastClock())
    assert [one.told for one in results] == ["", ""]


def test_values_are_quoted() -> None:
    """None of these runs as a command, in whichever verb it stands."""
    evil = "x'; touch /tmp/ov-check-was-here; $(false) `false` \"\\\n'"
    names = ("file", "package", "service", "user", "group", "interface", "mount", "kernel_param", "process")
    shell = Shell()
    parts = [part(**{name: evil, "eventually": "1s"}) for name in names]
    parts += [part(dns=evil, scope="build"), part(http=f"http://{evil}", scope="build", method=evil)]
    results = run_checks(shell, parts, CONTEXT, clock=FastClock(longer=100))
    assert {one.outcome for one in results} == {"failed"}
    assert run_checks(shell, [part(file="/tmp/ov-check-was-here", exists=False)], CONTEXT)[0].outcome == "ok"


def test_http_from_this_machine_and_inside_of_the_guest() -> None:
    with serve(Site({"/tags": b'{"models": []}', "/": b"front page"})) as site:
        port = site.url.rpartition(":")[2].strip("/")
        inside = [
            part(http=f"http://127.0.0.1:${{HOST_PORT:{port}}}/tags", status=200, body=[{"contains": "models"}]),
            part(http=f"http://127.0.0.1:${{HOST_PORT:{port}}}/none", status=404, headers=[{"matches": "(?i)length"}]),
            part(http=f"http://127.0.0.1:${{HOST_PORT:{port}}}/", body={"contains": "front"}, method="GET"),
            part(http=f"http://127.0.0.1:${{HOST_PORT:{port}}}/none"),
            part(http=f"http://127.0.0.1:${{HOST_PORT:{port}}}/", body={"contains": "back"}),
        ]
        for context in (CONTEXT, replace(CONTEXT, forwards={int(port): int(port)})):
            shell = Shell()
            results = run_checks(shell, inside, context, clock=FastClock(longer=100))
            assert [one.outcome for one in results] == ["ok"] * 3 + ["failed"] * 2
            assert [one.told for one in results[3:]] == [
                "status: expected one below 400, found 404",
                "body: expected contains 'back', found 'front page'",
            ]
            assert bool(shell.scripts) is (context is CONTEXT)
    (late,) = run_checks(Shell(), [part(http=site.url, timeout="1s")], CONTEXT, clock=FastClock(longer=100))
    assert late.told.startswith("http: expected an answer, found ")
    assert late.told.endswith("Connection refused")


def test_over_a_real_connection(tmp_path: Path) -> None:
    """What a deployment does. Twice, as the second may find what the first left."""
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        with connect(server.target) as guest:
            for _ in range(2):
                results = run_checks(
                    guest,
                    [
                        part(command="echo $((6 * 7)); echo 'a  b' >&2", stdout="42", stderr="a  b"),
                        part(file="/etc/passwd", mode="0644", contains=["root:"]),
                        part(addr=f"127.0.0.1:${{HOST_PORT:{server.port}}}", reachable=True),
                        part(port=server.port),
                        part(command="false"),
                    ],
                    CONTEXT,
                    clock=FastClock(longer=100),
                )
                assert [one.outcome for one in results] == ["ok"] * 4 + ["failed"]


def test_the_body_of_a_request_stands_in_no_argv(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text(f'#!/bin/sh\ncat >{tmp_path}/body\necho "$*" >{tmp_path}/words\n')
    (tmp_path / "curl").chmod(0o755)
    asked = part(http="http://x/", request_body="@it's", scope="build")
    run_checks(Shell(tmp_path), [asked], CONTEXT, clock=FastClock(longer=100))
    assert (tmp_path / "body").read_text() == "@it's"
    assert "--data-binary @- " in (tmp_path / "words").read_text()

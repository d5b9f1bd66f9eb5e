"""Services, environment and shells, killed between any two commands: the next run converges, and undo restores."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ovtasks.layers.kinds.environment import Environment
from ovtasks.layers.kinds.services import Services
from ovtasks.layers.kinds.shell import ShellFiles
from ovtasks.layers.operation import Operation, operation_digest
from ovtasks.layers.plan import LayerPlan
from ovtasks.layers.script import apply_script, undo_script
from ovtasks.values.jsonvalue import Json
from tests.layers.guest import TOKEN, drift, put, snapshot, take
from tests.layers.layers import WHERE, layer, operations
from tests.support.programs import attempt
from tests.support.systemd import System

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("systemd")]
STEP = 40
"""Every so many commands; all of them take an hour. 1 was right when this was written."""
_FUNCTION = re.compile(r"(ov_(?:block|unit|linger|environment)_\w+)\(\) [{]")
_COMMAND = re.compile(r" {4,}(?!(?:else|elif|then|do|done|fi|esac)\b)[\w:]")


def made() -> list[Operation]:
    """A layer with a bit of everything."""
    sleeps: dict[str, Json] = {"name": "app", "exec": "sleep inf", "env": {"A": "1"}, "restart": "always"}
    one = layer(
        env={"GREETING": "hi"},
        path_append=["/opt/x"],
        shells={"bash": {"init": "export SHELL_SEEN=1"}},
        services=[
            {"name": "ssh", "use_packaged": "ssh.socket"},
            sleeps,
            {"name": "sshd", "use_packaged": "sshd", "overrides": {"env": {"SEEN": "1"}}},
            {**sleeps, "name": "mine", "scope": "user"},
        ],
    )
    kinds = (Environment(), ShellFiles(), Services())
    return [operation for kind in kinds for operation in operations(kind, one)]


def places(text: str) -> Iterator[int]:
    """Lines of the functions that these kinds call, before which a command can stand."""
    inside, lines = False, text.split("\n")
    awk = False
    for number, line in enumerate(lines):
        awk = line.endswith("<<'\\''OV_END'\\''") or (awk and line != "OV_END")
        if match := _FUNCTION.match(line):
            inside = match[1] not in {"ov_unit_failed"}
        elif line == "}":
            inside = False
        elif inside and not awk and _COMMAND.match(line) and not lines[number - 1].endswith("\\"):
            yield number


def killed_at(text: str, number: int) -> str:
    lines = text.split("\n")
    return "\n".join((*lines[:number], "kill -9 0", *lines[number:]))


def readable(text: str) -> list[int]:
    """The places where a shell still reads the script."""
    found = list(places(text))[::STEP]
    return [number for number in found if attempt("sh", "-n", stdin=killed_at(text, number)).returncode == 0]


def test_killed(unchanged: System) -> None:
    system, wanted = unchanged, made()
    before = snapshot(system)
    plan = LayerPlan("x", WHERE, tuple(wanted), tuple(map(operation_digest, wanted)))
    apply, undo = apply_script([plan], TOKEN).decode(), undo_script(["x"], TOKEN).decode()
    ended = 0
    for number in readable(apply):
        ended += system.sh("exec sh", stdin=killed_at(apply, number)).returncode != 0
        put(system, "x", wanted)
        assert drift(system, "x") == [], number
        take(system, "x")
        assert snapshot(system) == before, number
    for number in readable(undo):
        put(system, "x", wanted)
        ended += system.sh("exec sh", stdin=killed_at(undo, number)).returncode != 0
        if number % 2:  # put in again instead
            put(system, "x", wanted)
            assert drift(system, "x") == [], number
        take(system, "x")
        assert snapshot(system) == before, number
    assert ended > 60 // STEP

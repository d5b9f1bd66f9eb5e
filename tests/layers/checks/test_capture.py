"""``capture``: what one check finds is used by later ones, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.checks.model import ProbeFacts
from ovtasks.values.jsonvalue import Json
from tests.layers.checks.shell import CONTEXT, Shell, part, run_checks, told

NONE = "not carried out: command: nothing says what ${CAPTURED:x} stands for"


def test_later_checks_use_it() -> None:
    shell = Shell()
    parts = [
        part(command="echo 'tab A1F (new)'", capture="tab", capture_extract=r"tab (\w+)"),
        part(command="echo '7 \"$HOME\" `x`'", capture="odd"),
        part(command='echo "[${CAPTURED:tab}] ${CAPTURED:odd}"', stdout='[A1F] 7 "$HOME" `x`'),
        part(command="true"),
        part(matching="${CAPTURED:tab}", equals="A1F"),
    ]
    results = run_checks(shell, parts, CONTEXT)
    assert [one.told or "ok" for one in results] == ["ok"] * 5
    assert len(shell.scripts) == 2, "what does not wait for another is one script"


def test_what_is_captured_is_no_code() -> None:
    assert (
        told(
            part(command="echo '$(touch /tmp/ov-captured-was-here)\"; false; \"'", capture="evil"),
            part(command='echo "${CAPTURED:evil}"', stdout={"contains": "$(touch"}),
            part(file="/tmp/ov-captured-was-here", exists=False),
        )
        == ["ok"] * 3
    )


def test_what_was_not_captured_is_told() -> None:
    assert told(
        part(command="echo a; exit 3", capture="x"),
        part(command="echo ${CAPTURED:x}"),
        part(command="echo b", capture="x", capture_extract="c+"),
        part(command="echo ${CAPTURED:x}"),
        part(command="echo ${CAPTURED:y}"),
        part(command="echo port", capture="p"),
        part(addr="127.0.0.1:${CAPTURED:p}"),
    ) == [
        "failed: exit_status: expected 0, found 3: a",
        NONE,
        "failed: capture_extract: expected a match of 'c+', found 'b'",
        NONE,
        NONE.replace(":x}", ":y}"),
        "ok",
        "failed: a check of addr cannot look at '127.0.0.1:port'",
    ]


def test_answers_of_the_vm_are_captured() -> None:
    asked: list[Json] = []

    def ask(verb: str, method: str, data: Mapping[str, Json], seconds: float) -> ProbeFacts:
        asked.append(data.get("command"))
        return {"status": b"0", "stdout": b"4711\n"}

    context = replace(CONTEXT, ask_machine=ask)
    first = part(libvirt="guest/exec", command="pidof x", capture="pid")
    assert told(first, part(libvirt="guest/exec", command="kill ${CAPTURED:pid}"), context=context) == ["ok", "ok"]
    assert asked == ["pidof x", "kill 4711"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"file": "/etc/passwd", "capture": "x"}, "a check of file finds nothing to capture"),
        ({"command": "id", "capture": "x", "capture_extract": "("}, "not a regular expression"),
    ],
)
def test_what_cannot_be_captured_is_an_error(data: dict[str, Json], message: str) -> None:
    with pytest.raises(InputError, match=message):
        told(part(**data))


def test_a_deferred_check_is_looked_at_before() -> None:
    with pytest.raises(InputError, match="a check of command has no 'bdoy'"):
        told(part(command="id", capture="x"), part(command="echo ${CAPTURED:x}", bdoy=""))

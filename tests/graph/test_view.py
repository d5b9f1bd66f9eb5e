"""What is shown while a build runs: the log's last line, programs with -v, colours of states."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from ovtasks.graph.display import Display
from ovtasks.host import colour, verbosity
from ovtasks.host.colour import ColourMode, wanted
from ovtasks.host.hearing import heard_by
from ovtasks.host.run import run
from ovtasks.host.verbosity import ProgramPrinter, Verbosity, level_of
from tests.support.workbench import Workbench, cloud_vm


def test_the_log_s_last_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal: long work is no silence."""
    now = [100.0]
    monkeypatch.setattr("ovtasks.graph.display.time.monotonic", lambda: now[0])
    out = io.StringIO()
    with Display(stream=out).work("disk of web") as step:
        step.program("qemu-img create", None, 0.0)
        now[0] += 11.0
        step.said("  half  ")
        now[0] += 1.0
        step.said("more")
        now[0] += 60.0
        step.update(1, 2)
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["   disk of web: half [11 s]", "   disk of web: 0 MiB of 0 MiB (50 %) [1 min 12 s]"]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "mode", "expected"),
    [
        ({}, True, "auto", True),
        ({}, False, "auto", False),
        ({"NO_COLOR": "1"}, True, "auto", False),
        ({"NO_COLOR": ""}, True, "auto", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, "auto", False),
        ({"FORCE_COLOR": "1"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "1"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "0"}, False, "auto", False),
        ({"TERM": "dumb"}, True, "auto", False),
        ({"NO_COLOR": "1"}, False, "always", True),
        ({"FORCE_COLOR": "1"}, True, "never", False),
    ],
)
def test_who_gets_colours(environment: dict[str, str], terminal: bool, mode: str, expected: bool) -> None:
    colour.set_mode(ColourMode(mode))
    try:
        assert wanted(Screen() if terminal else io.StringIO(), environment) is expected
    finally:
        colour.set_mode(ColourMode.AUTO)


def test_colours_of_states_and_errors(bench: Workbench, small_image: Path) -> None:
    bench.write({"web": cloud_vm(small_image)})
    assert "\x1b[33mrun   \x1b[0m" in bench.ov("--color", "always", "plan").stdout
    assert "\x1b[32m.\x1b[0m  disk:web" in bench.ov("--color=always", "vm", "build", "web").stderr
    assert bench.ov("--color", "always", "vm", "build", "wbe", code=2).stderr.startswith("\x1b[31mov:\x1b[0m ")
    assert "\x1b" not in bench.ov("plan", "--all").stdout
    assert json.loads(bench.ov("--color", "always", "plan", "--json").stdout)["steps"]


@pytest.mark.parametrize(
    ("options", "environment", "lines"),
    [
        (["-v"], {}, [r"   \$ \S*qemu-img create .*  \[status 0, \d+\.\d\d s\]"]),
        ([], {"OV_DEBUG": "1"}, [r"   \$ \S*qemu-img create .*  \[status 0, \d+\.\d\d s\]"]),
        (["--debug"], {}, [r"   \$ \S*qemu-img create .*\.part \d+", r"   \$ \S*qemu-img create .*  \[status 0.*"]),
        ([], {"OV_DEBUG": "0"}, []),
    ],
)
def test_programs_are_shown(
    options: list[str], environment: dict[str, str], lines: list[str], bench: Workbench, small_image: Path
) -> None:
    bench.write({"web": cloud_vm(small_image)})
    bench.env.update(environment)
    bench.ov("vm", "build", "web")
    said = bench.ov(*options, "vm", "build", "web", "--size", "2G").stderr.splitlines()
    shown = [line for line in said if "qemu-img create" in line]
    assert len(shown) == len(lines), said
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(lines, shown, strict=True)), shown


def test_programs_outside_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    verbosity.set_level(Verbosity.ALL)
    try:
        with heard_by(ProgramPrinter()):
            run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    finally:
        verbosity.set_level(Verbosity.PLAIN)
    first, *said, last = capsys.readouterr().err.splitlines()
    assert first.endswith("'echo out; echo err >&2; exit 3'") and sorted(said) == ["  err", "  out"]
    assert "[status 3, " in last


@pytest.mark.parametrize(("text", "level"), [("", 0), ("0", 0), ("1", 1), ("2", 2), ("all", 2)])
def test_what_the_variable_means(text: str, level: int) -> None:
    assert level_of(text) == level

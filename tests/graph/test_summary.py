"""The summary at the end of a run, the groups of a CI's log, and the live line of a step."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from ovtasks.graph.display import Display
from ovtasks.graph.last_run import RanStep
from ovtasks.graph.summary import Failure, summary
from ovtasks.host.progress import ProgramView
from tests.support.workbench import Workbench, cloud_vm


def ran(step: str, needs: str, seconds: float, outcome: str = "done") -> RanStep:
    return RanStep("r", step, step, tuple(needs.split()), 0.0, seconds, outcome)


def test_what_was_done_and_what_decided_the_time() -> None:
    steps = [ran("fetch", "", 38), ran("disk", "fetch", 3), ran("seed", "", 0.01)]
    first, path = summary(steps, 4, 130, ())
    assert first.startswith("3 done, 4 fresh (2 ") and first.endswith(" saved)")
    assert path.startswith("critical path 41") and "fetch 38" in path and " → disk 3" in path
    assert summary([ran("seed", "", 0.01)], 2, 0.2, ()) == ["1 done, 2 fresh"]


def test_one_failure_is_counted_and_several_are_told_again() -> None:
    steps = [ran("a", "", 0.1, "failed"), ran("b", "", 0.1, "failed"), ran("c", "", 0.1)]
    assert summary(steps[:1], 0, 0, [Failure("a", "why")]) == ["0 done, 1 failed"]
    lines = summary(steps, 0, 0, [Failure("a", "why\n  log: x"), Failure("b", "how")])
    assert summary([ran("a", "", 0.1, "stopped")], 0, 0, (), working=1) == ["0 done, 2 stopped"]
    assert lines == ["1 done, 2 failed", "failed: a: why\n  log: x", "failed: b: how"]


def test_a_run_ends_with_it_and_a_fresh_one_does_not(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(bench.root / "none"), "c": cloud_vm(bench.root / "nil")})
    said = bench.ov("vm", "build", "--continue", code=None).stderr
    end = said[said.rindex(" done, ") :]
    assert "2 failed" in end and end.count("failed: ") == 2, said
    assert "done" not in bench.ov("-q", "vm", "build", "--continue", code=None).stderr.replace("is done", "")
    done = bench.doit("build:a")
    assert " done" not in done.stdout + done.stderr
    bench.write({"a": cloud_vm(small_image, disk_size="2G")})
    assert " done, 2 fresh" in bench.doit("build:a").stderr


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("GITHUB_ACTIONS", "::group::", "::endgroup::"), ("GITLAB_CI", "section_start:", "section_end:")],
)
def test_groups_in_a_ci(monkeypatch: pytest.MonkeyPatch, name: str, begin: str, end: str) -> None:
    for other in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(other, raising=False)
    plain = io.StringIO()
    with Display(stream=plain).work("Make it"):
        pass
    assert plain.getvalue() == ""  # it is not worth a line
    monkeypatch.setattr("ovtasks.graph.display.WORTH_SECONDS", 0.0)
    with Display(stream=plain).work("Make it"):
        pass
    assert re.fullmatch(r"   Make it: took \d+ ms\n", plain.getvalue())
    monkeypatch.setenv(name, "true")
    out = io.StringIO()
    display = Display(stream=out)
    with display.work("Make it"), display.work("Make more"):
        pass
    lines = out.getvalue().splitlines()
    text = out.getvalue()
    assert text.count(begin) == text.count(end) == 1, lines  # what runs beside it is not folded
    assert text.index(begin) < text.index("Make more: took ") < text.index("Make it: took ") < text.index(end)


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_line_has_what_a_program_said_last() -> None:
    def seen() -> str:
        assert display._bars is not None
        console = Console(file=io.StringIO(), width=160)
        with console.capture() as captured:
            console.print(display._bars.get_renderable())
        return captured.get()

    terminal = FakeTerminal()
    display = Display(stream=terminal)
    with display.work("Make it") as progress:
        assert isinstance(progress, ProgramView)
        progress.program("qemu-img create x", None, 0.0)
        assert "Make it" in seen() and "$ qemu-img create x" in seen()
        progress.said("unpacked 3 of [9]")
        progress.said("  ")
        progress.program("", 0, 0.1)
        assert "unpacked 3 of [9]" in seen() and "qemu-img" not in seen()
        progress.said("y" * 500)
        assert all(len(line) <= 160 for line in seen().splitlines()) and "…" in seen()
    assert "\x1b[?25l" not in terminal.getvalue()  # a killed run leaves the cursor shown


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_step_keeps_to_one_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Amount, rate and what a program said stand beside the bar, also on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    display = Display(stream=FakeTerminal())
    with display.work("fetch debian-13-genericcloud-amd64.qcow2") as first, display.work("qcow2 disk of web") as second:
        first.update(1 << 20, 300 << 20)
        first.update(9 << 20, 300 << 20)
        assert isinstance(second, ProgramView)
        second.said("unpacked 3 of 900 " * 4)
        assert display._bars is not None
        console = Console(file=io.StringIO(), width=width)
        with console.capture() as captured:
            console.print(display._bars.get_renderable())
    lines = captured.get().splitlines()
    assert len(lines) == 2 and all(len(line) <= width for line in lines), lines
    assert "9.0/300.0 MiB" in lines[0] and "0:00:0" in lines[0] and "qcow2 d" in lines[1]
    assert ("unpacked 3" in lines[1]) == (width > 80)

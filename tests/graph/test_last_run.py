"""The notes about the last run: complete, of that run alone, harmless when they are damaged; and its critical path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.graph.last_run import RanStep, critical_path, last_run
from tests.support.workbench import Workbench, cloud_vm


def noted(bench: Workbench) -> dict[str, RanStep]:
    return {one.step: one for one in last_run(bench.root / "output" / ".ov")}


@pytest.mark.parametrize("jobs", [(), ("-n", "2"), ("-n", "2", "-P", "thread")], ids=["one", "processes", "threads"])
def test_every_step_of_the_last_run_is_noted(bench: Workbench, small_image: Path, jobs: tuple[str, ...]) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    bench.doit("run", *jobs, "build:a", "build:b")
    found = noted(bench)
    assert found.keys() == bench.plan("a", "b").keys()
    assert {one.outcome for one in found.values()} == {"done"} and len({one.run for one in found.values()}) == 1
    assert all(one.seconds >= 0 and one.started > 1e9 for one in found.values())
    assert all(found[need].started <= one.started for one in found.values() for need in one.needs if need in found)
    bench.doit("run", *jobs, "build:a", "build:b")
    assert noted(bench) == found  # nothing ran
    bench.write({"a": cloud_vm(small_image, disk_size="2G"), "b": cloud_vm(small_image)})
    bench.doit("run", *jobs, "build:a")
    assert "disk:a" in noted(bench) and "disk:b" not in noted(bench)


def test_a_failure_is_noted_and_damage_is_passed_over(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(bench.root / "none.qcow2")})
    bench.doit("--continue", "build:a", "build:b", code=None)
    outcomes = {step: one.outcome for step, one in noted(bench).items()}
    assert outcomes["disk:a"] == "done" and "failed" in outcomes.values() and "disk:b" not in outcomes
    path = bench.root / "output" / ".ov" / "last-run.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"{\n[]\nnull\n" + whole + b'{"run": 1}\n\xff\n' + whole[:20])
    assert {step: one.outcome for step, one in noted(bench).items()} == outcomes
    path.unlink()
    path.mkdir()
    assert noted(bench) == {}
    bench.doit("build:a")
    bench.write({"a": cloud_vm(small_image, disk_size="2G")})
    bench.doit("build:a")  # a note that cannot be written stops nobody


def ran(step: str, needs: str, started: float, seconds: float) -> RanStep:
    return RanStep("r", step, step, tuple(needs.split()), started, seconds, "done")


def test_critical_path() -> None:
    steps = [
        ran("a", "", 0, 5),
        ran("b", "", 0, 9),
        ran("c", "a b", 9, 1),
        ran("d", "a gone", 5, 8),
        ran("e", "c d", 13, 2),
    ]
    assert [one.step for one in critical_path(steps)] == ["a", "d", "e"]
    assert [one.step for one in critical_path(steps[:3])] == ["b", "c"]
    assert critical_path([]) == ()

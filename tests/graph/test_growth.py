"""Twice as many VMs cost twice as much, whether they share a base image or not: calls are counted, not seconds."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from doit.doit_cmd import DoitMain

from ovtasks.cli.main import run
from ovtasks.errors import InputError
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.loader import OvLoader
from ovtasks.project.load import load_project
from tests.support.workbench import many_vms

COUNTS = (15, 45, 75)
"""The first run also pays for what is constant; from each to the next there are 30 VMs more."""
MORE = 1.1
"""Each 30 VMs may cost so many times what the 30 before them did; if steps ask all owners it is over 1.2."""


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, are called while ``work`` is done."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def ov(*words: str) -> Callable[[], object]:
    return lambda: run(words)


def doit(*words: str) -> Callable[[], object]:
    return lambda: DoitMain(OvLoader(out=io.StringIO()), config_filenames=()).run(list(words))


COMMANDS = {
    "list": ov("list"),
    "plan": ov("plan", "--all"),
    "graph": ov("graph", "--format", "mermaid"),
    "report": ov("report", "--output", "-"),
    "gc": ov("gc", "--dry-run"),
    "validate": ov("validate"),
    "doit list": doit("list", "--all", "--status"),
    "doit build that fails": doit("build", "--continue"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_next_vms_cost_what_the_first_did(
    name: str, shared: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    costs: list[int] = []
    for count in COUNTS:
        root = tmp_path / str(count)
        many_vms(root, count, shared=shared)
        with inside(root):
            run(["validate"])
            if not costs:
                COMMANDS[name]()  # loads modules
            costs.append(calls(COMMANDS[name]))
    capsys.readouterr()
    assert costs[2] - costs[1] < MORE * (costs[1] - costs[0]), costs


def test_every_owner_of_a_step_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_vms(tmp_path / "p", 40, shared=True)
    graph = Graph(load_project(tmp_path / "p"))
    steps = [step for vm in graph.project.vms for step in graph.chain(vm)]
    asked: list[str] = []
    chain = Graph.chain

    def counted(self: Graph, vm: str, type: str | None = None) -> Chain:
        asked.append(vm)
        return chain(self, vm, type)

    monkeypatch.setattr(Graph, "chain", counted)
    graph.status(steps)
    assert len(asked) == 40 * 2 + 40  # of fetch and verify each owner; of the disk, which the seed needs, its VM


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("biuld:vm1", "did you mean 'build:vm1'"),
        ("dsk:vm0", "did you mean 'disk:vm0'"),
        ("disk:mv1", "did you mean 'disk:vm1'"),
        ("nothing:vm1", "steps: fetch:@"),
        ("x:y", "see: ov plan --all"),
    ],
)
def test_near_names_of_steps(tmp_path: Path, name: str, hint: str) -> None:
    many_vms(tmp_path / "p", 2, shared=True)
    with pytest.raises(InputError) as error:
        Graph(load_project(tmp_path / "p")).find(name)
    assert error.value.hint is not None and error.value.hint.startswith(hint)


def test_an_option_given_later_is_seen_in_a_step_that_was_found_before(tmp_path: Path) -> None:
    many_vms(tmp_path / "p", 2, shared=True)
    graph = Graph(load_project(tmp_path / "p"))
    fetch = graph.chain("vm0").steps[0]
    assert graph.chain("vm1").steps[0].name == fetch.name
    assert graph.step(fetch.name).refresh is None
    graph.options.set("vm1", {"refresh": True})
    assert graph.step(fetch.name).refresh is not None
    graph.options.set("vm0", {"size": "2G"})
    assert graph.step(fetch.name).refresh is not None
    assert graph.step("disk:vm0").inputs["disk_size"] == 2 << 30

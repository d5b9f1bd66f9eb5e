"""``./doitw test`` for who is not root: once as they are, once by sudo what takes root's rights."""

from __future__ import annotations

import os

import pytest

from tests.support import tasks

SUDO = ["sudo", "-n", "env"]


class Runs:
    """In place of the tools: their statuses in order, and how they were called."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, *argv: str) -> int:
        self.calls.append(argv)
        return self.statuses.pop(0)


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(tasks, "_sudo", lambda: SUDO)
    return monkeypatch


@pytest.mark.parametrize(
    ("statuses", "well"),
    [
        ((0, 0), True),
        ((0, 5), True),
        ((5, 0), True),
        ((5, 5), False),
        ((1, 0), False),
        ((0, 1), False),
        ((0, 2), False),
    ],
)
def test_both_must_be_well(ordinary: pytest.MonkeyPatch, statuses: tuple[int, int], well: bool) -> None:
    runs = Runs(*statuses)
    ordinary.setattr(tasks, "_run", runs)
    assert (tasks.run_tests(fast=False, arguments=["-k", "x"]) is None) == well
    first, second = runs.calls
    assert "--only-root" not in first and "sudo" not in first
    assert list(second[:3]) == SUDO and "--only-root" in second and second[-2:] == ("-k", "x")


@pytest.mark.parametrize("ci", [False, True])
def test_without_sudo_it_is_said(ordinary: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: bool) -> None:
    ordinary.setattr(tasks, "_sudo", lambda: None)
    ordinary.setattr(tasks, "_run", Runs(0))
    if ci:
        ordinary.setenv("CI", "true")
    assert (tasks.run_tests(fast=True, arguments=["-k", "x"]) is not None) == ci
    assert "tests that take root's rights did not run" in capsys.readouterr().out


def test_root_runs_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tasks, "_run", runs := Runs(0))
    assert tasks.run_tests(fast=True, arguments=["x"]) is None
    assert "--only-root" not in runs.calls[0]

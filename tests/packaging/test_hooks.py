"""The hooks of .pre-commit-config.yaml run what ``./doitw test`` runs."""

from __future__ import annotations

import shlex
from typing import TypedDict, cast

import yaml

from tests.support.checkout import ROOT
from tests.support.tasks import CHECKS, task_test


class Hook(TypedDict):
    """One hook, as far as these tests read it."""

    id: str
    entry: str
    language: str
    pass_filenames: bool
    stages: list[str]


def hooks() -> list[Hook]:
    loaded = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in loaded["repos"]] == ["local"], "a hook from elsewhere needs the network"
    return cast(list[Hook], [hook for repo in loaded["repos"] for hook in repo["hooks"]])


def test_a_commit_runs_the_static_checks() -> None:
    said = [hook["entry"] for hook in hooks() if hook["stages"] == ["pre-commit"]]
    assert said == [f".venv/bin/python -m {shlex.join(check)}" for check in CHECKS]


def test_a_push_runs_the_fast_tests() -> None:
    assert [hook["entry"] for hook in hooks() if hook["stages"] == ["pre-push"]] == ["./doitw test --fast"]
    assert "fast" in [one["long"] for one in cast(list[dict[str, object]], task_test()["params"])]


def test_hooks_use_the_checkout_alone() -> None:
    """They look at the whole checkout with the programs of .venv, whichever files a commit touches."""
    for hook in hooks():
        assert (hook["language"], hook["pass_filenames"]) == ("system", False), hook["id"]
        assert len(hook["stages"]) == 1, hook["id"]

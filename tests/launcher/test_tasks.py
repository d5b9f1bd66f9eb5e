"""The ``test`` task: pytest's arguments, its live output, its verdict."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, environment, run
from tests.support.tasks import CHECKS, FAST

DOIT = Path(sys.executable).with_name("doit")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["tests/launcher/test_needs.py", "-k", "test_answer"], 0, "1 passed"),
        (["tests/launcher/test_needs.py", "-k", "nothing_like_this"], 1, "no tests ran"),
        (["--no-such-option"], 1, "unrecognized arguments: --no-such-option"),
    ],
)
def test_verdict(arguments: list[str], status: int, said: str) -> None:
    done = run(DOIT, "test", "--", *arguments, cwd=ROOT, env=environment())
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    if status == 0:
        assert said in done.stdout.splitlines()[-1], "pytest has the last word"


def test_fast_and_addopts() -> None:
    """``PYTEST_ADDOPTS`` reaches pytest; ``--fast`` leaves out what is marked."""
    env = environment(PYTEST_ADDOPTS="--collect-only -q")
    done = run(DOIT, "test", "--fast", "--", "tests/launcher", cwd=ROOT, env=env, check=True)
    assert f"-m '{FAST}'" in done.stdout
    assert "test_needs.py::test_answer" in done.stdout
    assert "test_checkout.py" not in done.stdout


def test_static_checks_are_the_documented_ones() -> None:
    assert [check[0] for check in CHECKS] == ["ruff", "ruff", "mypy"]

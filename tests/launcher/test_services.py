"""``./doitw test --no-services``: named before they are installed, left out, and counted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from doit.exceptions import TaskFailed

from ovtasks.cli.checkout import NO_SERVICES, SERVICES, TEST
from ovtasks.cli.needs import answer, needed
from ovtasks.host import programs
from tests.support import services, tasks
from tests.support.checkout import ROOT, environment, run

TESTS = ROOT / "tests"


def test_the_packages_that_start_services_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.Program, "find", lambda self: None)
    said = [line for line in answer(["test"], tmp_path, "debian") if line.endswith(", a service")]
    assert {line.split()[2].rstrip(",") for line in said} == {*SERVICES}
    assert "missing openssh-server sshd, a service" in said
    assert not [line for line in answer(["test", NO_SERVICES], tmp_path, "debian") if line.endswith(", a service")]


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["test", NO_SERVICES], SERVICES),
        (["test", "--fast", NO_SERVICES, "--", "-x"], SERVICES),
        (["test"], ()),
        (["test", "--", NO_SERVICES], ()),  # a word for pytest
    ],
)
def test_without_them_the_rest_is_needed(tmp_path: Path, words: list[str], left_out: tuple[str, ...]) -> None:
    assert {*needed(words, tmp_path)} == {*TEST} - {*left_out}


def test_ci_runs_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert isinstance(tasks.run_tests(fast=True, arguments=["x"], no_services=True), TaskFailed)


def test_who_imports_what_starts_a_service_is_marked() -> None:
    assert services.needs_services("tests.guest.test_ssh")
    assert services.needs_services("tests.boot.test_layers"), "by tests.boot.project"
    assert not services.needs_services("tests.values.test_sizes")
    assert not services.needs_services("tests.launcher.test_services")
    for module in services.STARTERS:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_who_calls_such_a_program_itself_is_marked() -> None:
    """By hand, because nothing is imported for it."""
    for path in TESTS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if services.CALLED.search(text) and module not in services.STARTERS:
            assert services.needs_services(module) or "pytest.mark.services" in text, module


@pytest.mark.slow
def test_they_are_left_out_and_counted(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        "tests/guest",
        "tests/seed",
    ]
    every = run(*argv, cwd=ROOT, env=environment(), check=True).stdout
    fewer = run(*argv, NO_SERVICES, cwd=ROOT, env=environment(), check=True).stdout
    marked = run(*argv, "-m", "services", cwd=ROOT, env=environment(), check=True).stdout
    ids = [{line for line in text.splitlines() if "::" in line} for text in (every, fewer, marked)]
    assert ids[0] == ids[1] | ids[2] and not ids[1] & ids[2] and ids[1] and ids[2]
    (said,) = re.findall(r"^(\d+) tests need packages that start services \((.*)\): left out$", fewer, re.MULTILINE)
    assert int(said[0]) == len(ids[2]) and said[1] == ", ".join(SERVICES)

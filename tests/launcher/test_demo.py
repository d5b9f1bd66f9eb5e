"""``./doitw demo``, and the one question before everything."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from doit.exceptions import TaskFailed

from ovtasks.cli.needs import answer
from ovtasks.host import packages, programs
from tests.launcher.conftest import Bare, ordinary_user, root
from tests.launcher.test_packages import answer_on_a_terminal
from tests.support import tasks
from tests.support.checkout import ROOT
from tests.support.programs import call

OS_RELEASE = Path("/etc/os-release")


class Runs:
    """In place of ``ov``: statuses by verb, and how it was called."""

    def __init__(self, **statuses: int) -> None:
        self.statuses = statuses
        self.calls: list[list[str]] = []

    def __call__(self, *argv: str) -> int:
        self.calls.append(list(argv[1:]))
        if (status := self.statuses.get(argv[2], 0)) < 0:
            raise KeyboardInterrupt
        return status


class Terminal:
    """Standard input or output that is one."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("statuses", "well", "verbs"),
    [
        ({}, True, ["wait", "ssh"]),
        ({"ssh": 1}, True, ["wait", "ssh"]),  # of the last command that was typed there
        ({"ssh": 255}, False, ["wait", "ssh"]),
        ({"wait": 1}, False, ["wait"]),
    ],
)
def test_it_waits_logs_in_and_says_what_comes_then(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statuses: dict[str, int],
    well: bool,
    verbs: list[str],
) -> None:
    monkeypatch.setattr(tasks, "_run", runs := Runs(**statuses))
    done = tasks.run_demo()
    assert done is None if well else isinstance(done, TaskFailed)
    assert [call[1] for call in runs.calls] == verbs
    last = capsys.readouterr().out.splitlines()[-1]
    for command in ("./doitw demo", "./doitw stop:demo", "./doitw destroy:demo --disk"):
        assert command in last


def test_without_a_terminal_one_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_run", runs := Runs())
    tasks.run_demo()
    assert runs.calls[-1] == ["vm", "ssh", "demo", "--", "uname", "-a"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    tasks.run_demo()
    assert runs.calls[-1] == ["vm", "ssh", "demo"]


def test_interrupted_it_says_that_the_vm_runs_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "_run", Runs(wait=-1))
    with pytest.raises(KeyboardInterrupt):
        tasks.run_demo()
    assert capsys.readouterr().out.splitlines()[-1] == tasks.DEMO_RUNS


def test_it_begins_with_the_running_vm() -> None:
    assert tasks.task_demo()["task_dep"] == ["create:demo"]


@pytest.mark.parametrize("goal", ["build:demo", "demo"])
@pytest.mark.parametrize("user", [root, ordinary_user])
@pytest.mark.parametrize("distribution", ["debian", "ubuntu"])
def test_what_is_asked_for_before_there_is_a_python_is_what_is_needed(
    bare: Bare, monkeypatch: pytest.MonkeyPatch, goal: str, user: object, distribution: str
) -> None:
    """The launcher's own list is the one that Python makes out of vms.yml."""
    release = bare.bin.parent / "os-release"
    release.write_text(f"ID={distribution}\n", encoding="ascii")
    ordinary = user is ordinary_user
    script = (ROOT / "doitw").read_text(encoding="utf-8").partition("\nproject_directory\n")[0]
    # Nothing is installed: every lookup of a program or of a file fails.
    asked = f"manager=apt-get; id() {{ echo {1000 * ordinary}; }}; command() {{ return 1; }}; demo_lacks {goal}\n"
    script = script.replace("/etc/os-release", str(release)) + f"\nset -- {goal}; {asked}"
    shutil.copy2(ROOT / "vms.yml", bare.directory)
    said = tasks_shell(bare, script)
    monkeypatch.setattr(os, "geteuid", lambda: 1000 * ordinary)
    monkeypatch.setattr(packages, "os_release", lambda: {"ID": distribution, "ID_LIKE": "debian"})
    monkeypatch.setattr(programs.Program, "find", lambda self: None)
    wanted = [line for line in answer([goal], bare.directory, "debian") if line.startswith("missing ")]
    assert {line.split()[1] for line in said} == {line.split()[1] for line in wanted}
    assert len(said) == len(wanted)


def tasks_shell(bare: Bare, script: str) -> list[str]:
    """The lines that a shell says in the project."""
    from tests.support.checkout import run

    done = run("sh", "-c", script, bare.directory / "doitw", cwd=bare.directory, check=True)
    return done.stdout.splitlines()


def test_pip_takes_what_it_is_told_on_a_terminal() -> None:
    """Options of ``install`` stand behind it; the real pip, asked for nothing."""
    line = next(line for line in (ROOT / "doitw").read_text(encoding="utf-8").splitlines() if "--progress-bar" in line)
    options = line.partition('"$@" ')[2].partition(" ||")[0].split()
    assert options
    call(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "pip", *options)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_one_question_for_python_and_the_demo(machine: str, bare: Bare) -> None:
    """Answered with no, nothing was begun."""
    shutil.rmtree(bare.directory / ".venv")
    shutil.copy2(ROOT / "vms.yml", bare.directory)
    bare.script(bare.bin / "uname", f"echo {machine}")
    (bare.bin / "printf").symlink_to("/usr/bin/printf")
    bare.script(bare.bin / "apt-get", "exit 0")
    status, said = answer_on_a_terminal(bare, b"n\n", "demo")
    assert status == 3
    assert said.count("[Y/n]") == 1
    question = next(line for line in said.splitlines() if "[Y/n]" in line)
    assert " python3 python3-venv " in question
    assert not (bare.directory / ".venv" / "bin").exists()

"""A mistake in one VM: the others are built all the same, and each run says so, also when nothing is to do."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.errors import EXIT_DONE, EXIT_INPUT
from ovtasks.graph import save_manifest
from ovtasks.graph.manifest import answer, asked
from tests.support.workbench import Workbench, cloud_vm, ran

SAID = "unknown key 'disksize' in vms.bad"
DISK = "output/good/qcow2/disk.qcow2"


def old_enough() -> None:
    """Until what was just written is old enough to be believed."""
    time.sleep(2 * save_manifest.RACY_NS / 1e9)


@pytest.fixture
def project(bench: Workbench, small_image: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Two VMs, one of them wrong; we are in their folder."""
    bench.write({"good": cloud_vm(small_image), "bad": cloud_vm(small_image, disksize="3G")})
    old_enough()
    monkeypatch.chdir(bench.root)
    return bench


def test_by_ov(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vm", "build", "good"]) == EXIT_DONE
    said = capsys.readouterr()
    assert DISK in said.out and f": {SAID}" in said.err and "warning: vms.yml:" in said.err
    wanted = asked(["vm", "build", "good"])  # nothing to do: answered from stat alone, and still said
    assert wanted is not None and (answer(wanted) or "").startswith(DISK)
    assert wanted.warnings.startswith("warning: vms.yml:") and SAID in wanted.warnings
    for words in (["plan", "good"], ["why", "disk:good"], ["graph", "good"]):
        assert run(words) == EXIT_DONE, words
        assert f": {SAID}" in capsys.readouterr().err
    assert run(["-q", "vm", "build", "good"]) == EXIT_DONE
    assert capsys.readouterr().err == ""
    for words in (["vm", "build"], ["vm", "build", "bad"], ["plan"], ["plan", "bad"], ["vm", "xml", "bad"], ["gc"]):
        assert run(words) == EXIT_INPUT, words
        assert SAID in capsys.readouterr().err
    assert run(["validate"]) == EXIT_INPUT
    project.write({"good": cloud_vm(project.root / "x")})
    assert answer(wanted) is None


def test_the_manifest_forgets_a_mended_mistake(
    project: Workbench, small_image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vm", "build", "good"]) == EXIT_DONE
    project.write({"good": cloud_vm(small_image), "bad": cloud_vm(small_image, disk_size="3G")})
    old_enough()
    capsys.readouterr()
    assert run(["vm", "build", "good"]) == EXIT_DONE
    assert "warning" not in capsys.readouterr().err
    wanted = asked(["vm", "build", "good"])
    assert wanted is not None and answer(wanted) is not None and wanted.warnings == ""


@pytest.mark.slow
def test_by_doit(project: Workbench) -> None:
    first = project.doit("build:good")
    assert "disk:good" in ran(first.stdout) and "warning: vms.yml:" in first.stderr
    second = project.doit("build:good")
    assert not ran(second.stdout) and SAID in second.stderr
    for words in ([], ["build:bad"], ["build"], ["list"]):
        assert SAID in project.doit(*words, code=3).stderr


OWN = """
def task_up():
    return {"actions": ["echo up"], "task_dep": ["create:bad"]}


def task_other():
    return {"actions": ["echo it is other"], "task_dep": ["build:good"]}
"""


@pytest.mark.slow
def test_a_task_of_the_user_s_needs_the_wrong_vm(project: Workbench) -> None:
    """That goal alone fails, with the VM's own error; also the user's other tasks run."""
    with (project.root / "dodo.py").open("a", encoding="utf-8") as file:
        file.write(OWN)
    assert "disk:good" in ran(project.doit("build:good").stdout)
    other = project.doit("-n", "2", "other")
    assert "it is other" in other.stdout and "warning: vms.yml:" in other.stderr
    up = project.doit("up", code=1)
    assert (
        re.search(rf"^!! create:bad: vms.yml:\d+:\d+: {SAID}$", up.stdout, re.MULTILINE) and "echo up" not in up.stdout
    )
    both = project.doit("run", "--continue", "up", "other", code=2)
    assert SAID in both.stdout and "it is other" in both.stdout
    for words in (["create:bad"], ["up", "create"], ["list"]):
        assert SAID in project.doit(*words, code=3).stderr

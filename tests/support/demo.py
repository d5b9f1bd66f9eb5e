"""The VM ``demo`` of this checkout's ``vms.yml``, built by the real command, once for all workers of a test run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ovtasks.host.run import run
from tests.support import leftovers

ROOT = Path(__file__).parents[2]
BUILD = [sys.executable, "-m", "doit", "build:demo"]
DODO = "from ovtasks import load_tasks\nload_tasks(globals())\n"
ENVIRONMENT = {"PYTHONPATH": os.fspath(ROOT)}


@dataclass(frozen=True, slots=True)
class Demo:
    """The built disk, and the project that it is in."""

    project: Path
    disk: Path

    def base(self) -> tuple[Path, dict[str, object]]:
        """The base image and its record."""
        (record,) = (self.project / "output/.images").glob("bootstrap-????????????.json")
        facts = json.loads(record.read_text(encoding="utf-8"))
        return self.project / str(facts["path"]), facts


@cache
def build_demo(project: Path) -> Demo:
    """Build the demo in the folder ``project``, whoever asks first; the others wait for it."""
    project.mkdir(exist_ok=True)
    built = project / "built"
    with (project / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            leftovers.note("place", project)
            run(BUILD, cwd=make_project(project), env=ENVIRONMENT)
            built.touch()
            leftovers.done(project)
    return Demo(project, project / "output/demo/qcow2/disk.qcow2")


def make_project(project: Path) -> Path:
    """Make ``project`` a user's own repository with this checkout's ``vms.yml``."""
    project.mkdir(exist_ok=True)
    shutil.copy(ROOT / "vms.yml", project)
    (project / "dodo.py").write_text(DODO, encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def demo(session_directories: None, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo VM's artifacts, for all tests of the run, which leave them alone; a room's conftest imports it."""
    base = tmp_path_factory.getbasetemp()
    return build_demo((base.parent if hasattr(pytestconfig, "workerinput") else base) / "demo")

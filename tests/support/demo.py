"""The VM ``demo`` of this checkout's ``vms.yml``, built by the real command, once per test session."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ovtasks.host.paths import instance_directory
from ovtasks.host.run import run

ROOT = Path(__file__).parents[2]
BUILD = [sys.executable, "-m", "doit", "build:demo"]
DODO = "from ovtasks import load_tasks\nload_tasks(globals())\n"
ENVIRONMENT = {"PYTHONPATH": os.fspath(ROOT)}


@dataclass(frozen=True, slots=True)
class Demo:
    """The built artifacts; ``key`` is the private SSH key of the user ``demo``."""

    project: Path
    disk: Path
    seed: Path
    key: Path

    def meta_data(self) -> str:
        """``meta-data`` as the seed has it."""
        import pycdlib

        iso = pycdlib.PyCdlib()
        iso.open(str(self.seed))
        try:
            data = io.BytesIO()
            iso.get_file_from_iso_fp(data, joliet_path="/meta-data")
        finally:
            iso.close()
        return data.getvalue().decode()

    def instance_id(self) -> str:
        found = re.search(r"instance-id\W+([\w-]+)", self.meta_data())
        assert found is not None, self.meta_data()
        return found[1]

    def base(self) -> tuple[Path, dict[str, object]]:
        """The base image and its record."""
        (record,) = (self.project / "output/.images").glob("bootstrap-????????????.json")
        facts = json.loads(record.read_text(encoding="utf-8"))
        return self.project / str(facts["path"]), facts


@cache
def build_demo(project: Path) -> Demo:
    """Build the demo in the folder ``project``; once per process, whoever asks."""
    run(BUILD, cwd=make_project(project), env=ENVIRONMENT)
    folder = project / "output/demo/qcow2"
    (public,) = instance_directory("ov-demo").rglob("*.pub")
    return Demo(project, folder / "disk.qcow2", folder / "seed.iso", public.with_suffix(""))


def make_project(project: Path) -> Path:
    """Make ``project`` a user's own repository with this checkout's ``vms.yml``."""
    project.mkdir(exist_ok=True)
    shutil.copy(ROOT / "vms.yml", project)
    (project / "dodo.py").write_text(DODO, encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def demo(session_directories: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo VM's artifacts, for all boot tests of the session; a room's conftest imports it."""
    return build_demo(tmp_path_factory.getbasetemp() / "demo")

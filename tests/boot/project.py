"""A copy of the built demo in an ordinary user's home, for the boot tests."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ovtasks.host.run import Result, run
from tests.support.demo import Demo
from tests.support.session import SessionUser, session_user

QUICK = {"cpu": {"mode": "custom", "model": "qemu64"}}
"""The least processor: it saves a seventh of an emulated boot. tests/boot/test_demo.py has the default one."""


@dataclass(frozen=True)
class Project:
    """A copy of the built demo in an ordinary user's home, who may use both backends."""

    user: SessionUser
    root: Path

    def ov(self, *words: str, code: int = 0) -> Result:
        return self.user.ov(*words, cwd=self.root, code=code)

    def ssh(self, command: str, *options: str) -> str:
        return self.ov("vm", "ssh", "demo", *options, "--", command).stdout.strip()

    def status(self, *options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ov("vm", "status", "demo", "--json", *options).stdout)
        return found

    def shell_line(self, *words: str) -> str:
        """``ov`` as the user, to be typed into our shell."""
        code = "import sys; from ovtasks.cli import main; sys.exit(main())"
        variables = [f"{name}={value}" for name, value in {**self.user.env, "TERM": "screen"}.items()]
        argv = ["env", "-i", *variables, *self.user.words, self.user.python, "-c", code, *words]
        return f"cd {shlex.quote(str(self.root))} && {shlex.join(argv)}"

    def edit(self, pattern: str, new: str) -> None:
        """Change vms.yml."""
        path = self.root / "vms.yml"
        text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1)
        assert count == 1, pattern
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def user() -> Iterator[SessionUser]:
    with session_user() as user:
        yield user


@pytest.fixture
def project(user: SessionUser, demo: Demo, request: pytest.FixtureRequest) -> Iterator[Project]:
    """The base image is the same file as the demo's, so that nothing but disk, key and seed is left to build. Whatever
    the test leaves is destroyed."""
    root = user.home / "project"
    (root / "output").mkdir(parents=True)
    text = (demo.project / "vms.yml").read_text(encoding="utf-8")
    (root / "vms.yml").write_text(
        text.replace("    disk_size: 2G\n", f"    libvirt: {json.dumps(QUICK)}\n    disk_size: 2G\n", 1)
    )
    user.owned(root)
    run(["cp", "-al", demo.project / "output/.images", root / "output"])
    run(["chown", user.name, root / "output/.images"])
    project = Project(user, root)
    assert "fresh" in project.ov("plan", "demo", "--all").stdout.splitlines()[0]
    yield project
    for vm in json.loads(user.ov("vm", "list", "-a", "--json", cwd=root).stdout or "[]"):
        options = ["-i", vm["instance"]] if vm["instance"] else []
        project.ov("vm", "destroy", "--disk", vm["name"], *options)
    shutil.rmtree(root)

"""A project whose ``.venv`` is already made, and a PATH with next to nothing in it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovtasks.host.run import require
from tests.support.checkout import ROOT, environment, run
from tests.support.programs import Ended, call

TOOLS = ("sh", "cat", "cksum", "env", "find", "id", "mkdir", "mv", "readlink", "rm", "sed", "sort", "tr", "true")


@dataclass
class Bare:
    """``directory``: the project; ``bin``: all of its PATH; ``log``: what its scripts were called with."""

    directory: Path
    bin: Path
    log: Path

    def script(self, path: Path, text: str) -> Path:
        """Write a program that first notes its name and arguments in the log."""
        path.write_text(f"#!/bin/sh\necho \"${{0##*/}} $*\" >>'{self.log}'\n{text}\n")
        path.chmod(0o755)
        return path

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def env(self, **changes: str) -> dict[str, str]:
        return environment(PATH=str(self.bin), **changes)

    def doitw(self, *words: str, user: Sequence[str] = (), **env: str) -> Ended:
        """``user`` is a command prefix, see :func:`root` and :func:`ordinary_user`."""
        return run(*user, self.directory / "doitw", *words, cwd=self.directory, env=self.env(**env))


def stamp(directory: Path, *, extras: str = "dev") -> None:
    """What doitw leaves behind when it has installed (see ``install_package`` there)."""
    sum_ = call("cksum", stdin=(directory / "pyproject.toml").read_bytes()).stdout
    recipe = next(line for line in (ROOT / "doitw").read_text().splitlines() if line.startswith("RECIPE=")).split()[0]
    (directory / ".venv" / "ov-stamp").write_text(f"{recipe[7:]} {directory}\n{sum_}{extras}\n")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    directory, bin_ = tmp_path / "a project", tmp_path / "bin"
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    bin_.mkdir()
    for tool in TOOLS:
        (bin_ / tool).symlink_to(require(tool))
    for name in ("doitw", "pyproject.toml"):
        shutil.copy2(ROOT / name, directory / name)
    project = Bare(directory, bin_, tmp_path / "log")
    project.script(programs / "python", f"exec '{sys.executable}' \"$@\"")
    python = programs / "python"  # what would run doit runs the script below; it is no call worth a note
    head, notes = python.read_text().split("\n", 1)
    python.write_text(f'{head}\n[ "$1" != -c ] || {{ shift 2; exec "${{0%/*}}/doit" "$@"; }}\n{notes}')
    project.script(programs / "doit", 'pwd -P; for word; do echo "<$word>"; done; exit "${DOIT_STATUS:-0}"')
    (directory / "vms.yml").write_text("vms:\n  web: {source: {kind: cloud_image, url: /x.qcow2}}\n")
    stamp(directory)
    return project


def root(project: Bare) -> list[str]:
    """A command prefix: doitw sees user id 0."""
    return _seen_as(project, 0)


def ordinary_user(project: Bare) -> list[str]:
    """A command prefix: doitw sees another user id."""
    return _seen_as(project, 1000)


def _seen_as(project: Bare, number: int) -> list[str]:
    """Real ones can be had by root alone, or where user namespaces are permitted."""
    program = project.bin / "id"
    program.unlink()
    program.write_text(f"#!/bin/sh\necho {number}\n")
    program.chmod(0o755)
    return []

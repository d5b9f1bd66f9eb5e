"""doitw when everything is installed: what it hands on, and what it does not do again."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ovtasks.host.run import require
from tests.launcher.conftest import Bare
from tests.support.checkout import ROOT, run


def test_script_is_clean() -> None:
    run("shellcheck", "--shell=sh", ROOT / "doitw", cwd=ROOT, check=True)
    run("shellcheck", ROOT / ".ci" / "run", cwd=ROOT, check=True)
    run("dash", "-n", ROOT / "doitw", cwd=ROOT, check=True)


def test_words_and_exit_status_are_passed_on(bare: Bare) -> None:
    done = bare.doitw("list", "two words", "*", "", DOIT_STATUS="7")
    assert done.returncode == 7
    assert done.stdout.splitlines() == [str(bare.directory), "<list>", "<two words>", "<*>", "<>"]
    assert done.stderr == ""


def test_yes_is_for_doitw_only_in_front(bare: Bare) -> None:
    assert bare.doitw("--yes", "-y", "list", "--yes").stdout.splitlines()[1:] == ["<list>", "<--yes>"]


def test_any_folder_and_any_way_to_call_it(bare: Bare, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "direct").symlink_to(bare.directory / "doitw")
    (elsewhere / "twice").symlink_to("direct")
    (bare.bin / "from-path").symlink_to("../a project/doitw")
    for call in (
        [elsewhere / "direct", "list"],
        ["./twice", "list"],
        ["../a project/doitw", "list"],
        ["sh", "twice", "list"],
        [require("dash"), "./direct", "list"],
        [require("bash"), "twice", "list"],
        [require("bash"), "--posix", "../a project/doitw", "list"],
        ["from-path", "list"],
    ):
        argv = ["env", "-C", str(elsewhere), *map(str, call)]
        done = run(*argv, cwd=tmp_path, env=bare.env(CDPATH="/usr:/"))
        assert done.stdout.splitlines() == [str(bare.directory), "<list>"], (call, done.stderr)


def test_python_is_not_started_again_for_the_same_goals(bare: Bare) -> None:
    (bare.bin / "qemu-img").symlink_to("/bin/true")
    for _ in range(3):
        assert bare.doitw("build:web").returncode == 0
    assert [call for call in bare.calls() if call.startswith("python")] == [
        "python -m ovtasks.cli.needs -- build:web",
    ]


def test_needs_are_looked_at_again_when_a_program_went_away(bare: Bare) -> None:
    program = bare.bin / "qemu-img"
    program.symlink_to("/bin/true")
    assert bare.doitw("build:web").returncode == 0
    program.unlink()
    done = bare.doitw("build:web")
    assert done.returncode == 3
    assert "(for qemu-img)" in done.stderr


def test_needs_are_looked_at_again_when_vms_yml_changed(bare: Bare) -> None:
    (bare.bin / "qemu-img").symlink_to("/bin/true")
    assert bare.doitw("build:web").returncode == 0
    later = time.time_ns() + 10**9
    os.utime(bare.directory / "vms.yml", ns=(later, later))
    assert bare.doitw("build:web").returncode == 0
    assert len([call for call in bare.calls() if call.startswith("python")]) == 2


def test_folder_that_cannot_be_written(bare: Bare) -> None:
    for path in sorted((bare.directory / ".venv").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (bare.directory / ".venv").rmdir()
    (bare.directory / ".venv").touch()
    done = bare.doitw("list", OV_PYTHON=sys.executable)
    assert done.returncode == 1
    assert f"doitw: cannot write to {bare.directory}/.venv\n  hint: the checkout must be writable" in done.stderr


def test_without_pyproject(bare: Bare) -> None:
    (bare.directory / "pyproject.toml").unlink()
    done = bare.doitw("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no pyproject.toml\n  hint: doitw belongs in a checkout" in done.stderr

"""doitw in a fresh clone: real installs, interrupted ones, two at once, a moved folder."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import clone, environment, run
from tests.support.processes import serve, start
from tests.support.programs import Ended

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("checkout")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the clone lies; tests rename the clone."""
    yield tmp_path_factory.mktemp("fresh")


@pytest.fixture(scope="module")
def fresh(folder: Path) -> Path:
    return clone(folder / "my ovtasks")


@pytest.fixture(scope="module")
def listed(fresh: Path) -> Ended:
    """The newcomer's first command."""
    return run("./doitw", "list", cwd=fresh, env=environment(OV_PYTHON=sys.executable))


def is_made(checkout: Path) -> bool:
    venv = checkout / ".venv"
    return (venv / "ov-stamp").exists() and not (venv / "ov-installing").exists()


def test_first_command_works(fresh: Path, listed: Ended) -> None:
    assert listed.returncode == 0, listed.stderr
    assert is_made(fresh)
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    assert {"build", "test", "bench"} <= set(names)
    assert "doitw: installing into .venv" in listed.stderr


def test_second_command_installs_nothing_and_is_quick(fresh: Path, listed: object) -> None:
    """At most 20 ms of a processor over doit itself, or a fifth of what that takes: the least of nine, in turn."""
    ours: list[float] = []
    doits: list[float] = []
    for _ in range(9):
        for argv, times in ((["./doitw", "--version"], ours), ([".venv/bin/doit", "--version"], doits)):
            before = _used()
            done = run(*argv, cwd=fresh, env=environment())
            times.append(_used() - before)
            assert (done.returncode, done.stderr) == (0, "")
    assert min(ours) - min(doits) <= max(0.020, min(doits) / 5), f"{ours} {doits}"


def _used() -> float:
    """Seconds of a processor that ended children have had."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def test_changed_pyproject_installs_again_once_for_two(fresh: Path, listed: object) -> None:
    with (fresh / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    both = [start("./doitw", "list", cwd=fresh, env=environment(OV_PYTHON=sys.executable)) for _ in range(2)]
    said = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("doitw: installing into .venv") == 1
    assert "".join(said).count("doitw: another doitw is installing; waiting for it") == 1
    assert is_made(fresh)


def test_killed_install_in_a_moved_checkout_is_made_anew(fresh: Path, listed: object) -> None:
    """Moved: programs in .venv carry the old path, so everything is made anew. Killed: made anew once more."""
    moved = fresh.with_name("moved here")
    fresh.rename(moved)
    process = serve("./doitw", "list", cwd=moved, env=environment(OV_PYTHON=sys.executable))
    try:
        deadline = time.monotonic() + 120
        while not (moved / ".venv" / "bin" / "pip").exists() or not (moved / ".venv" / "ov-installing").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        time.sleep(2)  # somewhere in the middle of pip
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not is_made(moved)
    done = run("./doitw", "list", cwd=moved, env=environment(OV_PYTHON=sys.executable))
    assert done.returncode == 0, done.stderr
    assert is_made(moved)
    assert str(fresh) not in (moved / ".venv" / "bin" / "doit").read_text()
    moved.rename(fresh)

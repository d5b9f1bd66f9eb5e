"""Copies of this checkout, made the way a newcomer makes one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(
    *argv: str | Path, cwd: Path, env: Mapping[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program without a terminal and keep what it says; ``env`` is the whole environment."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def clone(target: Path) -> Path:
    """``git clone`` this checkout to ``target``, and bring along what is not committed yet."""
    git = ("git", "-c", "safe.directory=*")
    run(*git, "clone", "--quiet", "--no-hardlinks", ROOT, target, cwd=ROOT, check=True)
    changed = run(*git, "diff", "-z", "--name-only", "--no-renames", "HEAD", cwd=ROOT, check=True).stdout
    new = run(*git, "ls-files", "-z", "--others", "--exclude-standard", cwd=ROOT, check=True).stdout
    for name in filter(None, (changed + new).split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    return target


def environment(**changes: str) -> dict[str, str]:
    """Ours, without what would change how a newcomer's first command behaves."""
    drop = {"CI", "VIRTUAL_ENV", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    return {key: value for key, value in os.environ.items() if key not in drop} | changes

"""Copies of this checkout, made the way a newcomer makes one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.programs import Ended, attempt, call, program

ROOT = Path(__file__).parents[2]


SECONDS = 900.0
"""A first run installs packages."""


def run(*argv: str | Path, cwd: Path, env: Mapping[str, str] | None = None, check: bool = False) -> Ended:
    """Run a program in a checkout; ``env`` is the whole environment."""
    return (call if check else attempt)(*argv, cwd=cwd, env=env, timeout=SECONDS)


def clone(target: Path) -> Path:
    """``git clone`` this checkout to ``target``, and bring along what is not committed yet."""
    git = program("git", "-c", "safe.directory=*")
    git("clone", "--quiet", "--no-hardlinks", ROOT, target)
    changed = git("diff", "-z", "--name-only", "--no-renames", "HEAD", cwd=ROOT).stdout
    new = git("ls-files", "-z", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, (changed + new).split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    return target


def environment(**changes: str) -> dict[str, str]:
    """Ours, without what would change how a newcomer's first command behaves."""
    drop = {"CI", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    return {key: value for key, value in os.environ.items() if key not in drop} | changes

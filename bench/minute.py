"""The first minute: ``./doitw build:demo`` in a fresh clone, beside pip and mmdebstrap by hand; then a second clone.

``python -m bench.minute``. Host packages are there already: apt takes both ways as long. The first clone begins with an
empty store of images; pip's own cache is the user's.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from pathlib import Path

from bench._measure import once, verdict
from ovtasks.project.load import load_project
from ovtasks.project.model import BootstrapSource
from ovtasks.sources.bootstrap.recipe import DISTROS, resolve
from tests.support.checkout import ROOT, clone, environment

RATIO = 1.3
SECOND = 20.0
"""Seconds for another clone on the same machine."""


def by_hand(checkout: Path, tree: Path) -> list[str]:
    """A virtual environment with the package, and the demo's root tree: what somebody would type."""
    vm = load_project(ROOT).vms["demo"]
    assert isinstance(vm.source, BootstrapSource)
    recipe = resolve(vm.source, vm.where, platform.machine())
    venv = checkout.parent / "venv"
    packages = ",".join(recipe.all_packages())
    lines = [
        shlex.join([sys.executable, "-m", "venv", str(venv)]),
        shlex.join([str(venv / "bin/pip"), "install", "-q", "-e", str(checkout)]),
        f"mmdebstrap -q --variant={recipe.variant} --components={DISTROS[recipe.distro].components} "
        f"--include={packages} {recipe.suite} {shlex.quote(str(tree))}",
    ]
    return ["/bin/sh", "-c", " && ".join(lines)]


def main() -> int:
    """Once each: a run takes minutes."""
    with tempfile.TemporaryDirectory(prefix="ov-bench-", dir="/var/tmp") as name:
        scratch = Path(name)
        homes = {"XDG_CACHE_HOME": str(scratch / "cache"), "XDG_DATA_HOME": str(scratch / "data")}
        pip = os.environ.get("PIP_CACHE_DIR") or str(Path.home() / ".cache/pip")
        env = environment(CI="true", OV_PYTHON=sys.executable, PIP_CACHE_DIR=pip, **homes)
        first, second, other = (clone(scratch / name) for name in ("first", "second", "other"))
        took = {
            "by hand": once(by_hand(other, scratch / "root.tar"), scratch, env),
            "first clone": once([str(first / "doitw"), "build:demo"], first, env),
            "second clone": once([str(second / "doitw"), "build:demo"], second, env),
        }
    for what, (wall, cpu, _) in took.items():
        print(f"  {what:<14} {wall / 1000:7.1f} s, of which a processor {cpu / 1000:6.1f} s")
    hand, ours = took["by hand"], took["first clone"]
    return verdict(
        {
            "first clone to by hand": (ours[0] / hand[0], RATIO),
            "the same, processor time": (ours[1] / hand[1], RATIO),
            "second clone, seconds": (took["second clone"][0] / 1000, SECOND),
        }
    )


if __name__ == "__main__":
    sys.exit(main())

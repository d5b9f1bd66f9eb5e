"""``ov vm list -a`` of 50 instances: the records of all, each backend asked once, receipts looked at."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from bench.noop import PYTHON, make_project
from tests.support.programs import program

COUNT = 50
LIMIT_SECONDS = 0.4


def main() -> int:
    """Measure; the instances are stopped ones of plain QEMU."""
    compile_package()
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        root = Path(name)
        data = root / "data"
        os.environ.update(XDG_CACHE_HOME=str(root / "cache"), XDG_DATA_HOME=str(data), OV_VM_BACKEND="qemu")
        make_project(root, COUNT)
        ov = program(SCRIPTS / "ov", "-q", "vm")
        ov("build", cwd=root)
        for number in range(COUNT):
            ov("create", "--no-start", "--no-build", f"vm{number}", cwd=root)
        figures = in_turns(
            {PYTHON: PYTHON_PASS, "ov vm list -a": [str(SCRIPTS / "ov"), "vm", "list", "-a"]}, root, runs=11
        )
        shutil.rmtree(data)
    table(f"{COUNT} instances", figures, PYTHON)
    return verdict({"ov vm list -a in s": (figures["ov vm list -a"].alone(figures[PYTHON]) / 1000, LIMIT_SECONDS)})


if __name__ == "__main__":
    sys.exit(main())

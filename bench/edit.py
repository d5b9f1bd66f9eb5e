"""From an edit of ``cloud_init`` to the new seed."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from bench.noop import PYTHON, make_project
from tests.support.programs import call


def main() -> int:
    """Measure: every run has another list of packages."""
    compile_package()
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        root = Path(name)
        os.environ.update(XDG_CACHE_HOME=str(root / "cache"), XDG_DATA_HOME=str(root / "data"))
        make_project(root, 10)
        edits = iter(range(1000))

        def edit(command: str) -> None:
            if command != PYTHON:
                path = root / "vms.yml"
                data = json.loads(path.read_text(encoding="utf-8"))
                data["vms"]["vm0"]["cloud_init"]["packages"] = [f"package{next(edits)}"]
                path.write_text(json.dumps(data, indent=1), encoding="utf-8")

        build = [str(SCRIPTS / "ov"), "vm", "build", "vm0"]
        figures = in_turns({PYTHON: PYTHON_PASS, "edit, new seed": build}, root, runs=11, before=edit)
        assert "nothing to do" in call(SCRIPTS / "ov", "plan", "vm0", cwd=root).stdout
    table("cloud_init edited in a file of 10 VMs", figures, PYTHON)
    return verdict({"edit to new seed in s": (figures["edit, new seed"].alone(figures[PYTHON]) / 1000, 0.5)})


if __name__ == "__main__":
    sys.exit(main())

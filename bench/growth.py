"""Many VMs that nobody has built: what looking at all of them costs, and whether twice as many cost twice as much.

``python -m bench.growth [VMS [RUNS]]``; 1000 VMs and 5 runs by default.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from bench.noop import PYTHON
from tests.support.workbench import many_vms

LIMIT_SECONDS = 2.0
LIMIT_TWICE = 2.6
COMMANDS = {
    "ov list": [str(SCRIPTS / "ov"), "list"],
    "ov plan --all": [str(SCRIPTS / "ov"), "plan", "--all"],
    "ov graph": [str(SCRIPTS / "ov"), "graph"],
    "ov report": [str(SCRIPTS / "ov"), "report"],
    "doit list --all": [str(SCRIPTS / "doit"), "list", "--all"],
}


def measure(root: Path, count: int, runs: int, *, shared: bool) -> dict[str, float]:
    """Processor seconds of each command, in the middle of its runs."""
    many_vms(root, count, shared=shared)
    (root / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    figures = in_turns({PYTHON: PYTHON_PASS, **COMMANDS}, root, runs=runs)
    table(f"{count} VMs, {'one image' if shared else 'an image each'}", figures, PYTHON)
    return {name: statistics.median(figures[name].cpu) / 1000 for name in COMMANDS}


def main() -> int:
    """Measure so many and twice as many, sharing one image or not."""
    compile_package()
    count, runs = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((1, 1000), (2, 5)))
    limits: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        scratch = Path(name)
        os.environ.update(XDG_CACHE_HOME=str(scratch / "cache"), XDG_DATA_HOME=str(scratch / "data"))
        for shared in (True, False):
            kind = "shared" if shared else "own"
            once = measure(scratch / f"{kind}-{count}", count, runs, shared=shared)
            twice = measure(scratch / f"{kind}-{2 * count}", 2 * count, runs, shared=shared)
            for command in COMMANDS:
                limits[f"{command}, {count} VMs, {kind}, CPU in s"] = (once[command], LIMIT_SECONDS)
                limits[f"{command}, {2 * count} to {count} VMs, {kind}"] = (twice[command] / once[command], LIMIT_TWICE)
    return verdict(limits)


if __name__ == "__main__":
    sys.exit(main())

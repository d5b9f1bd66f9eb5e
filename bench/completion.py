"""An answer to the Tab key: processor time, in a project of 100 VMs, with names behind every kind of word."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from bench.noop import PYTHON
from ovtasks.project.load import load_project

COUNT = 100
LIMIT_MS = 60
LINES = ("ov ", "ov vm ssh vm", "ov vm build vm1 --type ", "ov why disk:", "ov settings set ", "doitw build:")


def main() -> int:
    """Measure after the first answer, which keeps what all others need."""
    compile_package()
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        root = Path(name)
        os.environ.update(XDG_CACHE_HOME=str(root / "cache"), XDG_DATA_HOME=str(root / "data"))
        vm = "  vm{}:\n    source: {{kind: bootstrap}}\n    disk_size: 2G\n"
        text = "".join(vm.format(number) for number in range(COUNT))
        (root / "vms.yml").write_text(f"vms:\n{text}", encoding="utf-8")
        os.utime(root / "vms.yml", (1_000_000_000, 1_000_000_000))
        load_project(root)
        ov = str(SCRIPTS / "ov")
        commands = {line: [ov, "__complete", *line.split(" ")] for line in LINES}
        figures = in_turns({PYTHON: PYTHON_PASS, **commands}, root)
    table(f"{COUNT} VMs", figures, PYTHON)
    return verdict({f"{line!r}: ms of processor": (statistics.median(figures[line].cpu), LIMIT_MS) for line in LINES})


if __name__ == "__main__":
    sys.exit(main())

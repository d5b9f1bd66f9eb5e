"""One ``ov vm create``: however many ask the ``libvirt:`` block, it is read once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.workbench import Workbench, cloud_vm

pytestmark = pytest.mark.slow
PROFILED = """
import cProfile, json, pstats, sys
profile = cProfile.Profile()
from ovtasks.cli import main
sys.argv = ["ov", "vm", "create", "web", "--no-start"]
try:
    profile.runcall(main)
finally:
    calls = {f"{file}:{name}": row[1] for (file, _, name), row in pstats.Stats(profile).stats.items()}
    json.dump(calls, open("calls.json", "w"))
"""


def test_create_reads_the_block_once(bench: Workbench, empty_image: Path) -> None:
    keys = {"user": "tester", "key_source": "generate"}
    devices = {"tpm": [{"model": "tpm-crb"}], "interfaces": [{"model": "e1000", "port_forwards": [{"start": 28080}]}]}
    bench.write({"web": cloud_vm(empty_image, ram="128M", cpus=1, ssh=keys, libvirt={"devices": devices})})
    bench.ov("vm", "build", "web")
    for path in (bench.root / "output/.ov").glob("*.cache"):
        path.unlink()  # so that the file is checked, too
    done = bench.run([sys.executable, "-c", PROFILED])
    assert "defined" in done.stderr, done
    calls = json.loads((bench.root / "calls.json").read_text(encoding="utf-8"))
    asked = sum(
        n for name, n in calls.items() if name.endswith(("machine/read.py:reading", "machine/read.py:block_of"))
    )
    read = [n for name, n in calls.items() if name.endswith("machine/read.py:_read")]
    assert read == [1] and asked > 1

"""``doit -r json`` is doit's own format, also after a failure and an interrupt."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.tmux import wait_for
from tests.support.workbench import DOIT, Workbench, cloud_vm


def test_doit_s_own_json(bench: Workbench, small_image: Path) -> None:
    """``-r json``: our steps stand in it as tasks do; also after a failure."""
    bench.write({"demo": cloud_vm(small_image)})
    done = json.loads(bench.doit("-r", "json", "build:demo").stdout)
    names = [task["name"].partition("@")[0] for task in done["tasks"]]
    assert names == ["fetch:", "verify:", "disk:demo", "seed:demo", "build:demo"]
    assert [task["result"] for task in done["tasks"]] == ["success"] * 4 + ["up-to-date"]
    again = json.loads(bench.doit("-r", "json", "build:demo").stdout)
    assert {task["result"] for task in again["tasks"]} == {"up-to-date"}
    bench.write({"demo": cloud_vm(bench.root / "none.qcow2")})
    failed = bench.doit("-r", "json", "build:demo", code=1)
    (task,) = json.loads(failed.stdout)["tasks"]
    assert task["result"] == "fail" and "No such file" in task["error"] and "Traceback" not in failed.stderr


@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_json_of_an_interrupted_run(bench: Workbench, options: list[str]) -> None:
    """It is whole, and a second Ctrl-C right behind the first one changes nothing."""
    bench.write({})
    own = "\ndef task_long():\n    return {'actions': ['touch begun; sleep 60']}\n"
    with (bench.root / "dodo.py").open("a", encoding="utf-8") as file:
        file.write(own)
    with bench.start([*DOIT, *options, "-r", "json", "long"]) as process:
        assert wait_for((bench.root / "begun").exists)
        os.killpg(process.pid, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode in {128 + signal.SIGINT, -signal.SIGINT}  # the latter when it comes at the very end
    assert "Traceback" not in err and "ignored" not in err, err
    told = json.loads(out)
    assert [(task["name"], task["result"], task["error"]) for task in told["tasks"]] == [
        ("long", "fail", "interrupted")
    ]
    assert "the same command goes on" in told["err"]

"""``ov list``, ``ov status`` and ``ov vm status``: the project at a glance, and one VM with all that is known of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.main import run
from ovtasks.cli.table import table
from ovtasks.graph.manifest import built
from ovtasks.host import colour
from ovtasks.host.accel import EMULATED
from tests.support.tmux import wait_for
from tests.support.workbench import Workbench, cloud_vm

FIELDS: dict[str, Any] = {"ram": "128M", "cpus": 1, "ssh": {"user": "me", "key_source": "generate"}}


def declare(bench: Workbench, image: Path, **web: Any) -> None:
    """``web`` has an instance in each test, ``db`` is never built."""
    bench.write({"web": cloud_vm(image, **{**FIELDS, **web}), "db": cloud_vm(image, **FIELDS)})


@pytest.fixture
def ov(bench: Workbench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """``ov`` in this process: stdout and stderr."""
    for name, value in bench.env.items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> tuple[str, str]:
        capsys.readouterr()
        assert run(["-C", str(bench.root), *words]) == 0
        said = capsys.readouterr()
        return said.out, said.err

    return call


def test_before_anything_is_built(bench: Workbench, empty_image: Path, ov: Any) -> None:
    declare(bench, empty_image)
    out, _ = ov("list")
    assert re.search(r"^web +cloud_image +never +- +not created +- +fetch:@\w+: never built$", out, re.MULTILINE)
    out, _ = ov("status")
    assert re.search(r"^VMs +2: 2 never$", out, re.MULTILINE) and re.search(r"^instances +none$", out, re.MULTILINE)
    assert re.search(r"^next +ov vm create web makes the VM and starts it$", out, re.MULTILINE)


SGR = re.compile(r"\x1b\[[0-9;]*m")


def test_states_have_colours(bench: Workbench, empty_image: Path, ov: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As --color, NO_COLOR and FORCE_COLOR say; the columns stand as they do without."""
    declare(bench, empty_image)
    ov("-q", "vm", "build", "web")
    ov("-q", "vm", "create", "--no-start", "web")
    for words in (["list"], ["status"], ["vm", "list", "-a"], ["vm", "status", "web"]):
        plain = ov(*words)[0]
        coloured = ov("--color", "always", *words)[0]
        assert "\x1b" not in plain and "\x1b" in coloured and SGR.sub("", coloured) == plain
        colour.set_mode(colour.ColourMode.AUTO)
    ov("-q", "vm", "start", "web")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = ov("list")[0]
    assert re.search(r"web .*\x1b\[32mfresh\x1b\[0m  .*\x1b\[32mrunning\x1b\[0m  ", out)
    assert re.search(r"db .*\x1b\[2mnever\x1b\[0m  .*\x1b\[2mnot created\x1b\[0m  ", out)
    assert re.search(r"^VMs +2: 1 \x1b\[32mfresh\x1b\[0m, 1 \x1b\[2mnever\x1b\[0m$", ov("status")[0], re.MULTILINE)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in ov("list")[0] + ov("status")[0] + ov("vm", "status", "web")[0]
    assert "\x1b" not in ov("vm", "list", "--json")[0]


def test_wide_letters_take_two_columns() -> None:
    out = table(("NAME", "STATE", "WHY"), [("会议室", "running", "-"), ("cafe\u0301", "stopped", "x")])
    assert out == "NAME    STATE    WHY\n会议室  running  -\ncafe\u0301    stopped  x\n"


def test_build_states_and_mistakes(bench: Workbench, empty_image: Path, ov: Any) -> None:
    declare(bench, empty_image)
    ov("-q", "vm", "build", "web")
    assert builds(ov) == {"web": "fresh", "db": "never"}
    declare(bench, empty_image, disk_size="2G")
    assert builds(ov) == {"web": "stale", "db": "never"}
    assert "disk_size: 1G → 2G" in ov("list")[0]
    assert re.search(r"^next +ov vm build web builds what is stale$", ov("status")[0], re.MULTILINE)
    path = bench.root / "vms.yml"
    path.write_text(path.read_text().replace("cpus: 1", "cpus: many", 1).replace('"cpus": 1', '"cpus": "many"', 1))
    assert builds(ov) == {"web": "wrong", "db": "never"} or builds(ov) == {"web": "stale", "db": "wrong"}
    assert re.search(r"^next +ov validate says what is wrong$", ov("status")[0], re.MULTILINE)
    path.write_text("vms: {}\n")
    assert "no VM is declared" in ov("list")[1]


def builds(ov: Any) -> dict[str, str]:
    return {vm["name"]: vm["build"]["state"] for vm in json.loads(ov("list", "--json")[0])["vms"]}


def test_when_all_is_fresh_no_step_is_looked_at(
    bench: Workbench, empty_image: Path, ov: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(bench, empty_image)
    assert wait_for(lambda: ov("-q", "vm", "build") is not None and built(str(bench.root), []) is not None)

    def never(*_: object) -> None:
        raise AssertionError("a step was looked at")

    monkeypatch.setattr("ovtasks.graph.chains.Graph.status", never)
    assert builds(ov) == {"web": "fresh", "db": "fresh"}


def test_a_vm_that_runs(bench: Workbench, empty_image: Path, ov: Any) -> None:
    declare(bench, empty_image)
    said = ov("vm", "create", "web")[1]
    assert said.count(EMULATED) == 1
    out, err = ov("list")
    assert re.search(r"^web +cloud_image +fresh +- +running +me@127.0.0.1:\d+ +-$", out, re.MULTILINE)
    assert err == f"web: {EMULATED}\n"
    assert ov("vm", "list")[1] == f"web: {EMULATED}\n" and EMULATED not in ov("vm", "list", "--json")[1]
    out, _ = ov("vm", "status", "web")
    assert re.search(r"^cpus +1$", out, re.MULTILINE) and re.search(r"^ram +128M$", out, re.MULTILINE)
    assert re.search(rf"^accelerator +{re.escape(EMULATED)}$", out, re.MULTILINE)
    assert re.search(r"^disk +\d+\w* ?\w* of 1G used; its folder takes \d+", out, re.MULTILINE), out
    assert re.search(r"^restart +would change nothing$", out, re.MULTILINE)

    declare(bench, empty_image, cpus=2, cloud_init={"packages": ["vim"]})
    assert json.loads(ov("vm", "status", "web", "--json")[0])["restart"] == {"changes": [], "diff": ""}
    ov("vm", "create", "web")
    now = json.loads(ov("vm", "status", "web", "--json")[0])
    assert now["restart"]["changes"] == ["definition", "seed"] and now["cpus"] == 2 and now["stale"] == []
    out, _ = ov("vm", "status", "web")
    assert "restart      would change its definition and its seed\n             -" in out
    out, _ = ov("status")
    assert re.search(r"^instances +1: 1 running$", out, re.MULTILINE)
    assert re.search(r"^next +ov vm ssh web logs in$", out, re.MULTILINE)
    ov("vm", "restart", "--force", "web")
    assert json.loads(ov("vm", "status", "web", "--json")[0])["restart"] == {"changes": [], "diff": ""}
    ov("vm", "stop", "--force", "web")
    assert json.loads(ov("vm", "status", "web", "--json")[0])["restart"] is None
    bench.write({"db": cloud_vm(empty_image, **FIELDS)})
    assert re.search(r"^web +- +- +- +stopped .* no longer declared$", ov("list")[0], re.MULTILINE)

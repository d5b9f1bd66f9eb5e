"""Verbs for several VMs, suspend, resume and reset, other words for verbs, and the question before a destroy."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.main import run
from ovtasks.host.paths import data_home
from tests.support.workbench import Workbench, cloud_vm

KEYS = {"ssh": {"user": "tester", "key_source": "generate"}}


def listed(bench: Workbench) -> dict[str, dict[str, Any]]:
    return {vm["domain"]: vm for vm in json.loads(bench.ov("vm", "ls", "-a", "--json").stdout)}


def states(bench: Workbench) -> dict[str, str]:
    return {name: vm["state"] for name, vm in listed(bench).items()}


class Terminal(io.StringIO):
    """A stdin that a person types at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.slow
def test_several_at_once(bench: Workbench, empty_image: Path) -> None:
    vm = cloud_vm(empty_image, ram="128M", cpus=1, **KEYS)
    bench.write({"a": vm, "b": vm, "c": vm})
    for words in (["a"], ["b"], ["a", "-i", "dev"]):
        bench.ov("vm", "up", "--no-start", *words)
    assert states(bench) == {"ov-a": "stopped", "ov-a-dev": "stopped", "ov-b": "stopped"}

    missing = bench.ov("vm", "start", "aa", "a", "c", "b", code=2).stderr
    assert "there is no VM aa" in missing and "did you mean 'a'" in missing and "c is not created yet" in missing
    assert states(bench) == {"ov-a": "running", "ov-a-dev": "stopped", "ov-b": "running"}
    (data_home() / "vm/ov-a-dev/disk.qcow2").rename(bench.root / "kept")
    mixed = bench.ov("vm", "start", "--all", code=1).stderr
    assert "the disk of a -i dev is missing" in mixed and mixed.count("is running already") == 2

    pid = listed(bench)["ov-a"]["pid"]
    assert "a: suspended" in bench.ov("vm", "suspend", "a").stderr
    assert states(bench)["ov-a"] == "paused" and listed(bench)["ov-a"]["pid"] == pid
    assert "a: is suspended already" in bench.ov("vm", "suspend", "a").stderr
    assert "ov vm resume a continues it" in bench.ov("vm", "start", "a").stderr
    some = bench.ov("vm", "resume", "--all", code=1).stderr
    assert "a: running" in some and "b: is running already" in some and "a -i dev is not running" in some
    assert states(bench)["ov-a"] == "running"
    assert "a: reset" in bench.ov("vm", "reset", "a").stderr
    assert listed(bench)["ov-a"]["pid"] == pid
    bench.ov("vm", "suspend", "b")
    assert "b: the guest did not shut down in time" in bench.ov("vm", "down", "b", "--timeout", "1").stderr

    (bench.root / "kept").rename(data_home() / "vm/ov-a-dev/disk.qcow2")
    bench.ov("vm", "start", "--all", "-i", "dev")
    assert states(bench) == {"ov-a": "running", "ov-a-dev": "running", "ov-b": "stopped"}
    bench.ov("vm", "down", "--force", "--all")
    assert set(states(bench).values()) == {"stopped"}
    other = Workbench(bench.root.parent / "other", bench.env)
    other.root.mkdir()
    other.write({"a": vm})
    other.ov("vm", "rm", "--disk", "--all")
    assert len(states(bench)) == 3
    bench.ov("vm", "rm", "--disk", "--all")
    assert states(bench) == {}


@pytest.mark.slow
def test_the_question_before_a_destroy(
    bench: Workbench, empty_image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write({name: cloud_vm(empty_image, ram="128M", cpus=1, **KEYS) for name in ("a", "b")})
    bench.ov("vm", "create", "a")
    bench.ov("vm", "create", "--no-start", "b")

    def typed(answer: str, *words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        code = run(["-C", str(bench.root), "vm", "destroy", *words])
        return code, capsys.readouterr().err

    code, said = typed("n\n", "a", "b")
    assert code == 3 and "destroy a (running)? [y/N]" in said and "nothing was destroyed" in said
    assert typed("", "--all", "--disk")[0] == 3
    assert states(bench) == {"ov-a": "running", "ov-b": "stopped"}
    code, said = typed("", "b")
    assert code == 0 and "?" not in said, "its disk stays, and create defines it again"
    code, said = typed("y\n", "--disk", "a", "b")
    assert code == 0 and "destroy a (running) with its disk, b with its disk? [y/N]" in said
    assert states(bench) == {}
    bench.ov("vm", "create", "--no-start", "a")
    code, said = typed("", "-y", "--disk", "a")
    assert code == 0 and "?" not in said and states(bench) == {}


def test_who_names_no_vm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (([], "no VM is named"), (["a", "--all"], "--all takes no names"), (["--all"], "vms.yml")):
        assert run(["-C", str(tmp_path), "vm", "stop", *words]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_plain_doit_destroy_refuses(bench: Workbench, empty_image: Path) -> None:
    bench.write({"a": cloud_vm(empty_image, ram="128M", cpus=1, **KEYS)})
    bench.doit("define:a")
    assert "destroy needs the name of a VM" in bench.doit("destroy", code=3).stderr
    assert states(bench) == {"ov-a": "stopped"}
    bench.doit("destroy:a", "--disk")
    assert states(bench) == {}


def test_other_words_for_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = next(command for command in COMMANDS if command.name == "vm").verbs
    aliases = {alias: verb.name for verb in verbs for alias in verb.aliases}
    assert aliases == {"up": "create", "down": "stop", "rm": "destroy", "ls": "list"}
    assert run(["vm", "--help"]) == 0
    shown = capsys.readouterr().out
    for alias, verb in aliases.items():
        assert f"{verb} ({alias})" in shown
        described = []
        for word in (alias, verb):
            assert run(["vm", word, "--help"]) == 0
            described.append(capsys.readouterr().out.partition("\n\n")[2])
        assert described[0] == described[1] != ""

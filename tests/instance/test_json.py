"""Every verb with ``--json`` prints what its schema says; one without is in a list that says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.main import run
from ovtasks.cli.parser import CliCommand, Parser, declare
from ovtasks.guest.cloud_init import CloudInitState
from ovtasks.guest.readiness import Ready, Stage
from tests.support.checkout import ROOT
from tests.support.output import checked, definitions
from tests.support.workbench import Workbench, cloud_vm

ACTS = "acts; what it did is said on stderr, and its exit status tells the result"
TALKS = "a program of its own talks"
OTHER = "prints a format of its own"
WITHOUT = {
    "ov vm build": "prints paths, one a line",
    **dict.fromkeys(("ov vm start", "ov vm stop", "ov vm restart", "ov vm suspend", "ov vm resume"), ACTS),
    **dict.fromkeys(("ov vm reset", "ov vm destroy", "ov vm clone", "ov vm import", "ov vm view"), ACTS),
    **dict.fromkeys(("ov vm snapshot create", "ov vm snapshot revert", "ov vm snapshot delete"), ACTS),
    **dict.fromkeys(("ov vm screenshot", "ov vm sendkey", "ov vm type"), ACTS),
    **dict.fromkeys(("ov image build", "ov image pull", "ov migrate", "ov init", "ov lock", "ov report"), ACTS),
    **dict.fromkeys(("ov settings set", "ov settings reset"), ACTS),
    **dict.fromkeys(("ov vm ssh", "ov vm run", "ov vm scp", "ov vm console"), TALKS),
    **dict.fromkeys(("ov vm xml", "ov vm logs", "ov vm ssh-config", "ov ssh-config"), OTHER),
    **dict.fromkeys(("ov graph", "ov completion", "ov man"), OTHER),
    **dict.fromkeys(("ov settings get", "ov settings path"), "prints one word"),
    **dict.fromkeys(("ov eval libvirt", "ov eval spice"), "prints JSON without asking: docs/probes.md"),
}
ALWAYS = {"ov vm snapshot info"}
"""Prints nothing but JSON, so it needs no option."""
OWN_SCHEMA = {"ov images": "images.schema.json"}
ELSEWHERE = {
    "ov image list": "tests/containers/test_cli.py",
    "ov image inspect": "tests/containers/test_cli.py",
    "ov doctor": "tests/host/test_doctor.py",
    "ov explain": "tests/errors/test_catalogue.py",
}

DEPLOY = """deploy:
  vm:web:
    add_layers: [tools]
    disposable: true
"""
ROWS = (
    "list",
    "status",
    "plan",
    "plan create:web deploy:vm:web",
    "why disk:web",
    "gc --dry-run",
    "validate",
    "validate -v",
    "settings list",
    "deploy list",
    "deploy status vm:web",
    "deploy plan vm:web",
    "deploy add vm:web --dry-run",
    "deploy del vm:web --dry-run",
    "update web --dry-run",
    "eval live web -i dev",
    "vm create web",
    "vm list -a",
    "vm status web",
    "vm status web -i dev",
    "vm ip web",
    "vm argv web",
    "vm diff web",
    "vm edit web",
    "vm snapshot list web",
)


def verbs(command: CliCommand, words: str = "ov") -> Iterator[tuple[str, bool]]:
    """Each verb below ``command``, and whether it has ``--json``."""
    words = f"{words} {command.name}"
    for verb in command.verbs:
        yield from verbs(verb, words)
    if not command.verbs:
        parser = Parser(prog=words)
        declare(parser, command)
        yield words, any("--json" in action.option_strings for action in parser._actions)


def verb_of(row: str) -> str:
    """The verb of a row; its words are those before its arguments."""
    words = [word for word in row.split() if not word.startswith("-")]
    return max((verb for verb in definitions() if f"ov {' '.join(words)} ".startswith(f"{verb} ")), key=len)


def test_every_verb_has_json_or_says_why_not() -> None:
    found = dict(pair for command in COMMANDS for pair in verbs(command))
    with_json = {verb for verb, has in found.items() if has} | ALWAYS
    assert sorted(set(found) - with_json) == sorted(WITHOUT)
    schemas = {verb for verb in definitions() if verb.startswith("ov ")}
    assert schemas == with_json - set(OWN_SCHEMA)
    run_here = {verb_of(row) for row in ROWS} | {"ov vm wait", "ov vm snapshot info"}
    assert schemas - run_here == set(ELSEWHERE)
    for verb, file in ELSEWHERE.items():
        assert f'checked("{verb}"' in (ROOT / file).read_text(encoding="utf-8"), verb


def test_the_words_of_the_readiness() -> None:
    notes = ("cloud-init is absent in this guest",)
    for ready in (Ready(Stage.LOGGED_IN, 1.25), Ready(Stage.PROBED, 2.0, CloudInitState.DEGRADED, notes)):
        checked("ov vm wait", json.dumps(ready.facts()))


@pytest.mark.slow
def test_each_verb_in_one_project(
    bench: Workbench, empty_image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**bench.env, "EDITOR": "", "VISUAL": ""}.items():
        monkeypatch.setenv(name, value)
    keys: dict[str, Any] = {"ssh": {"user": "me", "key_source": "generate"}, "network": {"port_forwards": ["auto:80"]}}
    bench.write({"web": cloud_vm(empty_image, ram="128M", cpus=1, **keys), "db": cloud_vm(empty_image)})
    layer = bench.root / "layers/tools/layer.yml"
    layer.parent.mkdir(parents=True)
    layer.write_text("tasks: [{mkdir: /srv/a}]\n")
    (bench.root / "deploy.yml").write_text(DEPLOY)

    def ov(*words: str) -> str:
        capsys.readouterr()
        code = run(["-q", "-C", str(bench.root), *words])
        said = capsys.readouterr()
        assert code == 0, (words, said)
        return said.out

    for row in ROWS[:4]:
        checked(verb_of(row), ov(*row.split(), "--json"))
    ov("vm", "create", "web", "--ram", "160M")
    ov("vm", "create", "web", "-i", "dev")
    ov("vm", "snapshot", "create", "web", "one")
    for row in ROWS:
        checked(verb_of(row), ov(*row.split(), "--json"))
    checked("ov vm snapshot info", ov("vm", "snapshot", "info", "web", "one"))
    bench.write({"web": cloud_vm(empty_image, ram="256M", cpus=1, **keys)})
    ov("vm", "create", "web")
    for row in ("list", "status", "vm status web", "vm list"):
        checked(verb_of(row), ov(*row.split(), "--json"))

"""What a user may get wrong on the command line of ``ov deploy``: said clearly, with nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.errors import OvError
from ovtasks.host.progress import Progress
from ovtasks.instance import aside
from tests.deploy.project import enter
from tests.support.projects import CLOUD, write


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter(tmp_path / "p", f"vms: {{web: {{source: {CLOUD}}}, database: {{source: {CLOUD}}}}}\n", monkeypatch)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("add vm:web/eph-1", "'vm:web/eph-1' cannot be a deployment: instances eph-… belong to ephemeral"),
        ("add vm:web/a-eph-1 tools", "names with -eph- belong to ephemeral instances"),
        ("add vm:web --lifecycle=", "--lifecycle is empty\n  hint: for example --lifecycle dev"),
        ("add vm:web --from tools", "--from tools: there is no such layer\n  hint: the deployment has none"),
        ("add vm:web ../web", "there is no layer '../web'"),
        ("plan wbe", "'wbe' is not a deployment\n  hint: did you mean 'vm:web'?"),
        ("plan xyz", "hint: name a deployment of deploy.yml, or vm:NAME; there are vm:web, vm:database"),
        ("status databse", "'databse' is not a deployment\n  hint: did you mean 'vm:database'?"),
    ],
)
def test_wrong(project: Path, capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert run(["deploy", *words.split()]) == 2
    said = capsys.readouterr()
    assert message in said.err and not said.out, said
    assert not (project / "deploy.yml").exists()


def test_nothing_to_list(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deploy", "list"]) == 0
    said = capsys.readouterr()
    assert not said.out and "no deployments: ov deploy add vm:VM LAYER makes one" in said.err


def test_json_for_a_vm_that_does_not_exist(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "deploy: {vm:web: {add_layers: [tools]}}\n", "deploy.yml")
    assert run(["deploy", "del", "vm:web", "tools", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["layers"] == [] and "web does not exist: nothing to undo" in said.err


def test_what_cannot_be_put_back_does_not_stop_the_list(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(domain: str, progress: Progress) -> bool:
        raise OvError(f"{domain} is back, but does not start")

    monkeypatch.setattr(aside, "unfinished", lambda: ["ov-web", "ov-database"])
    monkeypatch.setattr(aside, "settle", settle)
    assert run(["vm", "list", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert [line for line in said.err.splitlines() if "is back" in line] == [
        "ov: ov-web is back, but does not start",
        "ov: ov-database is back, but does not start",
    ]

"""``ov validate`` finds what is wrong with checks, wherever they stand, and ``ov eval live`` says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.errors import EXIT_INPUT
from tests.support.projects import CLOUD

WRONG = {
    "{file: /x, exsts: true}": ("exsts", "unknown key 'exsts'", "did you mean 'exists'?"),
    "{fil: /x}": ("fil:", "unknown key 'fil'", "did you mean 'file'?"),
    "{file: /x, port: 22}": ("{file", "a check is about one thing, but it has file and port", "one of file"),
    "{file: /x, running: true}": ("true", "a check of file has no 'running'", "it may have exists"),
    "{command: x, stdout: {contain: y}}": ("{contain", "no matcher is named 'contain'", "did you mean 'contains'?"),
    "{command: x, stdout: {matches: '('}}": ("{matches", "'(' is not a regular expression", ""),
    "{libvirt: inf}": ("inf", "a check of libvirt cannot look at 'inf'", "did you mean 'info'?"),
    "{libvirt: qmp}": ("qmp", "a check of libvirt cannot look at 'qmp'", "it needs text"),
    "{addr: somewhere}": ("somewhere", "a check of addr cannot look at 'somewhere'", "write HOST:PORT"),
    "{port: 22, ip: here}": ("here", "a check of port cannot look at 'here'", "write an IP address"),
    "{file: /x, eventually: soon}": ("soon", "'soon' is not a length of time", "30d"),
}
"""A check: what the error points at, message and hint."""
PLACES = {"vms.yml": "        eval: [{}]", "layers/x/layer.yml": "  eval: [{}]", "deploy.yml": "    eval: [{}]"}


@pytest.mark.parametrize("place", PLACES)
def test_every_mistake_in_every_list(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "layers/x").mkdir(parents=True)
    for check, (mark, message, hint) in WRONG.items():
        lines = {name: line.format(check if name == place else "") for name, line in PLACES.items()}
        vms = f"vms:\n    a:\n        source: {CLOUD}\n{lines['vms.yml']}\n"
        (tmp_path / "vms.yml").write_text(vms, encoding="utf-8")
        (tmp_path / "layers/x/layer.yml").write_text(f"layer:\n{lines['layers/x/layer.yml']}\n", encoding="utf-8")
        deploy = f"deploy:\n  vm:a:\n    add_layers: [x]\n{lines['deploy.yml']}\n"
        (tmp_path / "deploy.yml").write_text(deploy, encoding="utf-8")
        assert run(["-C", str(tmp_path), "validate"]) == EXIT_INPUT
        said = capsys.readouterr().err
        line = {"vms.yml": 4, "layers/x/layer.yml": 2, "deploy.yml": 4}[place]
        column = PLACES[place].index("{") + 1 + check.index(mark)
        assert f"{place}:{line}:{column}: " in said, (check, said)
        assert message in said and hint in said, (check, said)
        assert said.splitlines()[-1] == "1 error"

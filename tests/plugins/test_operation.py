"""The kind of operation of docs/plugins.md, found by its entry point, put into a guest and taken out again."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from ovtasks import registry
from ovtasks.deploy.stamp import _files as watched
from ovtasks.errors import InputError
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.layers.events import What
from ovtasks.layers.guest import look
from ovtasks.layers.operation import Gate
from ovtasks.project.layer_file import read_layer
from ovtasks.project.load import load_project
from ovtasks.project.schema import Checker
from ovtasks.sources.bootc.image import image_steps
from tests.support.layers import LocalShell, plan, print_of

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
SYSCTL = """#!/bin/sh
case $1 in
-n) cat "$(dirname "$0")/../kernel" ;;
*) echo "${3#*=}" >"$(dirname "$0")/../kernel" ;;
esac
"""


def code_block(language: str) -> str:
    text = PAGE.read_text(encoding="utf-8").partition("## A kind of operation")[2]
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalShell:
    """A guest with a kernel parameter, and the plug-in here; it writes below the test's folder."""
    (tmp_path / "ov_sysctl.py").write_text(code_block("python").replace("/etc/", f"{tmp_path}/etc/"))
    monkeypatch.syspath_prepend(tmp_path)
    name, value = re.findall(r'^(\w+) = "(.*)"$', code_block("toml"), re.MULTILINE)[0]
    group = re.findall(r'entry-points\."(.*)"', code_block("toml"))[0]
    point = EntryPoint(name, value, group)
    monkeypatch.setattr(registry, "_points", lambda group: (point,) if group == point.group else ())
    monkeypatch.delitem(sys.modules, "ov_sysctl", raising=False)
    made = LocalShell(tmp_path)
    (tmp_path / "bin/sysctl").write_text(SYSCTL)
    (tmp_path / "bin/sysctl").chmod(0o755)
    (tmp_path / "kernel").write_text("60\n")
    (tmp_path / "etc").mkdir()
    return made


def test_put_in_and_taken_out(guest: LocalShell, tmp_path: Path) -> None:
    text = code_block("yaml").replace("value: 10", 'value: 10\n    user: "${USER}"')
    layer = plan(tmp_path, text, "calm")
    assert guest.apply(layer) == [(What.DONE, "sysctl vm.swappiness")]
    assert (tmp_path / "kernel").read_text() == "10\n"
    assert (tmp_path / "etc/sysctl.d/60-vm.swappiness.conf").read_text() == "vm.swappiness = 10\n"
    assert guest.apply(layer) == [(What.SAME, "sysctl vm.swappiness")]
    (tmp_path / "kernel").write_text("30\n")
    assert [event.what for event in look(guest, ["calm"], how=guest.how)] == [What.DIFFERS]
    guest.undo("calm")
    assert (tmp_path / "kernel").read_text() == "60\n" and print_of(tmp_path / "etc") == {}


def test_an_edited_plug_in_makes_images_and_deployments_stale(guest: LocalShell, tmp_path: Path) -> None:
    module = tmp_path / "ov_sysctl.py"
    (tmp_path / "layers/calm").mkdir(parents=True)
    (tmp_path / "layers/calm/layer.yml").write_text(code_block("yaml"))
    (tmp_path / "vms.yml").write_text("vms: {}\n")
    (tmp_path / "image.yml").write_text("image: {x: {base: localhost/b, layers: [calm]}}\n")

    def step() -> Step:
        project = load_project(tmp_path, cache=False)
        return image_steps(project.images["x"], project, BuildOptions())[-1]

    before = step()
    assert before.inputs == step().inputs and module in before.reads
    assert [*watched(SimpleNamespace(files=(), layers=()))].count(module) == 1  # type: ignore[arg-type]
    module.write_text(module.read_text() + "# edited\n")
    after = step()
    assert {name for name in after.inputs if after.inputs[name] != before.inputs[name]} == {"plug-ins"}


def test_as_root_it_needs_a_word(guest: LocalShell, tmp_path: Path) -> None:
    (operation,) = plan(tmp_path, code_block("yaml"), "calm").operations
    assert operation.user == "root" and operation.gate is Gate.ROOT_TASK


def test_its_schema_is_checked(guest: LocalShell, tmp_path: Path) -> None:
    folder = tmp_path / "layers/calm"
    folder.mkdir(parents=True)
    (folder / "layer.yml").write_text(code_block("yaml").replace("value:", "vaule:"))
    _, errors = read_layer(folder / "layer.yml", Checker())
    assert all(isinstance(error, InputError) for error in errors) and "vaule" in errors[0].message
    assert errors[0].where is not None and errors[0].where.line == 4

"""What a layer sees of the layers that it needs."""

from __future__ import annotations

from pathlib import Path

from ovtasks.layers.plan import compile_layer, needs_of
from tests.support.layers import FACTS, LocalShell, spec


def test_commands_see_variables_and_programs_of_needed_layers(tmp_path: Path) -> None:
    shell = LocalShell(tmp_path)
    tool = tmp_path / "bin" / "ov-test-tool"
    tool.write_text("#!/bin/sh\necho $ONE $TWO $THREE\n")
    tool.chmod(0o755)
    a = spec(tmp_path / "a", f"env: {{ONE: a, TWO: a}}\npath_append: ['{tmp_path}/bin']\n", "a")
    b = spec(tmp_path / "b", "requires: [a]\nenv: {TWO: '${ONE}b'}\n", "b")
    c = spec(tmp_path / "c", "requires: [b]\nenv: {THREE: c}\ntasks: [{cmd: ov-test-tool, user: '${USER}'}]\n", "c")
    d = spec(tmp_path / "d", "env: {ONE: d}\n", "d")
    layers = [a, d, b, c]
    assert [one.name for one in needs_of(c, layers)] == ["a", "b"] and needs_of(a, layers) == []
    (operation,) = [one for one in compile_layer(c, FACTS, below=needs_of(c, layers)).operations if one.kind == "cmd"]
    only = compile_layer(c, FACTS, below=needs_of(c, layers))
    shell.apply(type(only)(only.name, only.where, (operation,), only.digests[-1:]))
    assert shell.output() == ["a ab c"]
    assert compile_layer(c, FACTS).digest != only.digest

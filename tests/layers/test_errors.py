"""Errors about a layer: each says where, and what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks import layers
from ovtasks.errors import InputError, OvError, Where
from ovtasks.layers.fragments import file_upload
from ovtasks.layers.manifests import toml_of

ROOM = Path(layers.__file__).parent
PLACED_BY_CALLERS = {"archive.py", "matchers.py", "probe.py"}
"""Modules that know no file of the user."""


def raised(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            if name in {"InputError", "OvError"} or name.endswith(".error"):
                yield name, node.exc


def test_each_has_a_hint_and_a_place() -> None:
    lacking = []
    for file in ROOM.rglob("*.py"):
        for name, call in raised(file):
            words = {one.arg for one in call.keywords}
            placed = name.endswith(".error") or file.name in PLACED_BY_CALLERS or "where" in words
            if "hint" not in words or not placed:
                lacking.append(f"{file.name}:{call.lineno}")
    assert lacking == []


def test_the_place_in_a_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "pixi.toml"
    path.write_text("[a]\nb = = 1\n")
    with pytest.raises(InputError, match="is not TOML") as caught:
        toml_of(path)
    assert caught.value.where == Where(str(path), 2, 5)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    path.symlink_to("nowhere")
    with pytest.raises(OvError, match="gone cannot be read: No such file") as caught:
        file_upload("x", path)
    assert caught.value.where == Where(str(path)) and caught.value.hint is not None

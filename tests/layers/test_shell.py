"""What shells read: which file, which text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.context import LayerContext
from ovtasks.layers.kinds.shell import ShellFiles
from ovtasks.layers.operation import Operation
from ovtasks.values.jsonvalue import Json
from tests.layers.layers import DEBIAN, layer, operations

HOOK: Mapping[str, Json] = {
    "init": 'eval "$(hook ${SHELL_NAME})"\n',
    "fish": {"init": "hook fish | source\n"},
    "path_append": ["~/.pixi/bin"],
}


def named(found: list[Operation]) -> dict[str, Operation]:
    return {operation.name: operation for operation in found}


def test_every_shell_has_its_place() -> None:
    found = named(operations(ShellFiles(), layer(shells=HOOK)))
    assert {name: operation.user for name, operation in found.items()} == {
        "bash reads /home/ada/.bashrc": "ada",
        "zsh reads /home/ada/.zshrc": "ada",
        "fish reads /home/ada/.config/fish/conf.d/ov-50-x.fish": "ada",
        "sh reads /etc/profile.d/ov-50-x.sh": "root",
    }
    assert 'eval "$(hook bash)"' in found["bash reads /home/ada/.bashrc"].do
    assert 'eval "$(hook zsh)"' in found["zsh reads /home/ada/.zshrc"].do
    fish = found["fish reads /home/ada/.config/fish/conf.d/ov-50-x.fish"].uploads[0].content
    assert fish == (
        b"contains -- '/home/ada/.pixi/bin' $PATH; or set -gx PATH $PATH '/home/ada/.pixi/bin'\nhook fish | source\n"
    )
    sh = found["sh reads /etc/profile.d/ov-50-x.sh"].uploads[0].content
    assert isinstance(sh, bytes) and b"hook" not in sh and b"/home/ada/.pixi/bin" in sh


def test_absent_shells_are_named() -> None:
    facts = replace(DEBIAN, shells=("sh", "bash"))
    found = named(operations(ShellFiles(), layer(shells=HOOK), facts))
    assert list(found) == [
        "bash reads /home/ada/.bashrc (zsh, fish: not installed)",
        "sh reads /etc/profile.d/ov-50-x.sh",
    ]
    found = named(operations(ShellFiles(), layer(shells=HOOK, packages=["zsh"]), facts))
    assert "zsh reads /home/ada/.zshrc" in found


def test_only_absent_shells() -> None:
    facts = replace(DEBIAN, shells=("sh", "bash"))
    one = layer(shells={"fish": {"init": "hook"}})
    context = LayerContext(one, facts)
    assert list(ShellFiles().layer(one, context)) == []
    assert [skipped.what for skipped in context.skipped] == ["shell: fish"]


def test_a_path_of_its_own() -> None:
    found = named(operations(ShellFiles(), layer(shells={"bash": {"init": "x", "path": "/etc/bash.bashrc"}})))
    assert {name: one.user for name, one in found.items()} == {"bash reads /etc/bash.bashrc": "root"}


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ({"path_append": ["bin"]}, 41),
        ({"bash": {"init": "x", "path": "rc"}}, 41),
        ({"bash": {"path_append": ["bin"]}}, 41),
        ({"init": "a\n# <<< ov layer x bash <<<\n"}, 41),
    ],
)
def test_mistakes(shell: Mapping[str, Json], line: int) -> None:
    with pytest.raises(InputError) as caught:
        operations(ShellFiles(), layer(shells=shell))
    assert caught.value.where is not None and caught.value.where.line == line

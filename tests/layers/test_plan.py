"""The plan of a layer: order, names, digests, gates, undo by ``uninstall``, and mistakes with their places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, Where
from ovtasks.layers.operation import Gate
from ovtasks.layers.plan import compile_layer, operation_kind
from tests.support.layers import FACTS, plan, spec

TASKS = """
name: a
requires: [b, c]
vars: {VERSION: "1.2"}
tasks:
  - write: /etc/x
    content: one
  - mkdir: ~/folder
    user: "${USER}"
  - write: /etc/x
    content: two
  - link: "/opt/${VERSION}-%(ENV_ARCH)s"
    target: $HOME
"""


def test_names_accounts_gates_and_variables(tmp_path: Path) -> None:
    facts = replace(FACTS, user="arch", uid=1000, gid=1000, home="/home/arch", arch="aarch64")
    found = plan(tmp_path, TASKS, facts=facts)
    assert [one.name for one in found.operations] == [
        *("write /etc/x", "mkdir /home/arch/folder", "write /etc/x (2)", "link /opt/1.2-arm64"),
    ]
    assert [one.user for one in found.operations] == ["root", "arch", "root", "root"]
    assert [one.gate for one in found.operations] == [Gate.ROOT_TASK, None, Gate.ROOT_TASK, Gate.ROOT_TASK]
    assert "/home/arch" in found.operations[3].do
    assert found.requires == ("b", "c") and not found.skipped
    assert str(found.operations[2].where).endswith("layer.yml:10:5")


def test_a_digest_tells_what_is_done_and_not_where_it_stands(tmp_path: Path) -> None:
    first = plan(tmp_path, TASKS)
    moved = plan(tmp_path, "# a comment\n\n" + TASKS + "description: other\n")
    assert moved.digests == first.digests and moved.digest == first.digest
    edited = plan(tmp_path, TASKS.replace("content: two", "content: 2"))
    assert [a == b for a, b in zip(first.digests, edited.digests, strict=True)] == [True, True, False, True]
    assert edited.digest != first.digest != plan(tmp_path, TASKS + "reboot: true\n").digest


def test_environment_of_a_command(tmp_path: Path) -> None:
    text = """
name: a
vars: {WHAT: it's}
env: {PLACE: "~/here", BOTH: "${WHAT} $PLACE"}
path_append: ["~/bin"]
tasks:
  - cmd: echo hi
    env: {MORE: 'a "word" `x` ${BOTH}'}
"""
    layer = spec(tmp_path, text)
    (found,) = [
        one for one in compile_layer(layer, FACTS, {"GIVEN": "b*"}, {"TOKEN": "a b"}).operations if one.kind == "cmd"
    ]
    (body,) = found.uploads
    lines = str(body.content, "utf-8").splitlines() if isinstance(body.content, bytes) else []
    assert body.mode == 0o600 and found.secret and "a b" not in found.do
    for line in (
        "export WHAT='it'\"'\"'s'",
        'export PLACE="$HOME/here"',
        'export BOTH="${WHAT} $PLACE"',
        "export GIVEN='b*'",
        "export TOKEN='a b'",
        'export MORE="a \\"word\\" \\`x\\` ${BOTH}"',
        'export PATH="$PATH":"$HOME/bin"',
    ):
        assert line in lines
    assert lines[-2:] == ["set -e", "echo hi"]


@pytest.mark.parametrize(
    ("task", "message", "column"),
    [
        ("{write: etc/x, content: a}", "must be the absolute path", 13),
        ("{write: /, content: a}", "must be the absolute path", 13),
        ('{write: "/a\\nb", content: a}', "must be the absolute path", 13),
        ("{mkdir: $NOBODY/x}", "nothing says what $NOBODY stands for", 13),
        ("{copy: ../x, to: /x}", "outside of the layer's folder", 12),
        ("{copy: none, to: /x}", "has no 'none'", 12),
        ("{copy: layer.yml, user: mary}", "nothing says where the home folder of mary is", 5),
        ("{link: /x, target: $NOBODY}", "nothing says what $NOBODY stands for", 24),
        ("{cmd: a, uninstall: [/]}", "not an absolute path", 25),
    ],
)
def test_mistakes_have_their_place(task: str, message: str, column: int, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan(tmp_path, f"name: a\ntasks:\n  - {task}\n")
    assert message in caught.value.message
    where = caught.value.where
    assert where is not None and where.file.endswith("layer.yml") and (where.line, where.column) == (3, column)


def test_a_kind_that_nobody_has() -> None:
    with pytest.raises(InputError, match="no task can do 'wirte'") as caught:
        operation_kind("wirte", Where("layer.yml", 3))
    assert caught.value.hint == "did you mean write?"


def test_what_is_gone_when_a_layer_is_taken_out(tmp_path: Path) -> None:
    text = """
name: a
tasks:
  - {write: /etc/x, uninstall: ["systemctl reload x || true", /var/lib/x, "~/x"]}
  - {cmd: "true"}
"""
    write, cmd = plan(tmp_path, text).operations
    assert write.undo.endswith("ov_restore\n") and "rm -rf -- /var/lib/x" in write.undo
    assert "(set +u; eval 'systemctl reload x || true')" in write.undo
    assert not cmd.undo and "uninstall" in cmd.caveat


def test_a_variable_names_those_before_it(tmp_path: Path) -> None:
    text = "vars: {A: one, B: '/srv/${A}', C: '${B}/$A ${D}', D: late}\ntasks: [{mkdir: '${B}'}, {cmd: 'echo $C'}]\n"
    made, said = plan(tmp_path, text).operations
    assert made.name == "mkdir /srv/one"
    assert b"export C='/srv/one/$A ${D}'\n" in said.uploads[0].content  # type: ignore[operator]

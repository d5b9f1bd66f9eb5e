"""Variables and PATH: what is written, and what really sees it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.context import LayerContext
from ovtasks.layers.kinds.environment import Environment
from ovtasks.layers.operation import ROOT
from tests.layers.layers import DEBIAN, layer, operations


def test_one_operation_for_root() -> None:
    (operation,) = operations(Environment(), layer(env={"A": "1"}, path_append=["~/bin", "/opt/x/", "~/bin"]))
    assert (operation.user, operation.gate, operation.name) == (ROOT, None, "environment: A, PATH")
    assert "# path: /home/ada/bin\n# path: /opt/x\nPATH=" in operation.do


def test_nothing_to_do() -> None:
    assert operations(Environment(), layer()) == []


def test_the_deployment_wins() -> None:
    (operation,) = operations(Environment(), layer(env={"A": "1"}), environment={"A": "2", "B": "3"})
    assert "A=2" in operation.do and "B=3" in operation.do and "A=1" not in operation.do


def test_layers_below_are_known() -> None:
    below = (layer("base", env={"ROOT": "~/r", "OLD": "1"}), layer("more", env={"OLD": "$ROOT/2"}))
    one = layer(env={"A": "<$OLD>", "ROOT": "x"})
    (operation,) = Environment().layer(one, LayerContext(one, DEBIAN, below=below))
    assert "A='</home/ada/r/2>'" in operation.do.replace("'\"'\"'", "'")


@pytest.mark.parametrize(
    ("env", "message", "line"),
    [
        ({"A": "1", "B": "a\nb"}, "the value of B has a line break", 12),
        ({"A": "$NOBODY"}, "nothing says what $NOBODY in the value of A stands for", 11),
        ({"A": "${B}", "B": "$A"}, "stand for each other in a circle: A → B → A", 11),
        ({"PATH": "/x"}, "env cannot set PATH", 11),
    ],
)
def test_mistakes(env: Mapping[str, str], message: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        operations(Environment(), layer(env=env))
    assert message in str(caught.value)
    assert caught.value.where is not None and caught.value.where.line == line


@pytest.mark.parametrize("folder", ["bin", "/a:b", '/a"b', "/a#b", "/a'b"])
def test_folders_that_path_cannot_have(folder: str) -> None:
    with pytest.raises(InputError) as caught:
        operations(Environment(), layer(path_append=["/x", folder]))
    assert caught.value.where is not None and caught.value.where.line == 30


def test_secrets_are_the_users_alone() -> None:
    public, secret = operations(
        Environment(), layer(env={"KEY": "id-${TOKEN}", "A": "1", "B": "<$KEY>"}), secrets={"TOKEN": "s3cret"}
    )
    assert "s3cret" not in public.do + public.look + public.undo + public.save
    assert public.caveat == "a command over ssh does not see KEY, B; a login does"
    assert (secret.user, secret.secret) == ("ada", True)
    assert {upload.mode for upload in secret.uploads} == {0o600}
    assert "s3cret" not in secret.do + secret.look + secret.undo


def test_a_secret_that_the_deployment_sets() -> None:
    public, secret = operations(
        Environment(), layer(env={"A": "1"}), environment={"TOKEN": "s3cret"}, secrets={"TOKEN": "s3cret"}
    )
    assert "s3cret" not in public.do and secret.name == "environment with secrets: TOKEN"


def test_what_pam_cannot_carry_is_named() -> None:
    (operation,) = operations(Environment(), layer(env={"COLOR": "#fff", "LONG": "x" * 1100, "A": "1"}))
    assert operation.caveat == "a command over ssh does not see COLOR, LONG; a login does"

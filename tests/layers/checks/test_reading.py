"""Entries of ``eval``: what is a check, what is none, and what is not carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from ovtasks.errors import InputErrors
from ovtasks.layers.checks.model import CheckScope, Probe, ServiceUnit
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.units import service_units
from ovtasks.project.layer_model import LayerCheck
from ovtasks.values.jsonvalue import Json
from tests.layers.checks.shell import CONTEXT, part, told
from tests.support.layers import spec

WRONG = [
    (part(5, file="/etc", running=True), "layer.yml:5:5: a check of file has no 'running'", "it may have exists, "),
    (part(8, command="id", timeout="5"), "timeout: '5' has no unit", "write it as"),
    (part(9, command="id", stdout={"contain": "x"}), "stdout: no matcher is named 'contain'", "did you mean"),
    (part(9, file="/x", contains=[{"matches": "("}]), "contains: '(' is not a regular expression", ""),
]
NOT_CARRIED_OUT = [
    (part(mcp="ping"), "mcp"),
    (part(libvirt="guest/exec", command="id"), "libvirt: only a VM that runs can be asked"),
    (part(k8s="nodes", cluster="x", anything="goes"), "k8s"),
    (part(command="id", from_host=True), "command with from_host"),
    (part(dns="localhost", server="192.0.2.1"), "dns with server"),
    (part(command="ls ${VOLUME_PATH:data}"), "command: nothing says what ${VOLUME_PATH:data} stands for"),
    (part(file="${NOBODY_KNOWS}/x"), "file: nothing says what ${NOBODY_KNOWS} stands for"),
]
SKIPPED = [
    (part(file="/none", skip=True), "skip: true"),
    (part(file="/none", exclude_distros=["debian:13"]), "not on debian:13"),
    (part(file="/none", exclude_distros="debian"), "not on debian"),
    (part(file="/none", exclude_distros=["debian-13", "x"]), "not on debian-13"),
]


@pytest.mark.parametrize(("written", "message", "hint"), WRONG)
def test_what_is_written_wrong_is_told_with_its_place(written: LayerCheck, message: str, hint: str) -> None:
    with pytest.raises(InputErrors) as caught:
        read_checks([part(file="/etc"), written], CONTEXT)
    (error,) = caught.value.errors
    assert message in f"{error.where}: {error.message}"
    assert hint in (error.hint or "")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputErrors) as caught:
        read_checks([one for one, _, _ in WRONG], CONTEXT)
    assert len(caught.value.errors) == len(WRONG)


def test_what_is_not_carried_out_is_named() -> None:
    assert told(*(one for one, _ in NOT_CARRIED_OUT)) == [f"not carried out: {why}" for _, why in NOT_CARRIED_OUT]


def test_what_is_not_for_this_system_is_skipped() -> None:
    assert told(*(one for one, _ in SKIPPED)) == [f"skipped: {why}" for _, why in SKIPPED]
    assert told(part(file="/", exclude_distros=["debian:12", "fedora"])) == ["ok"]


def test_an_image_has_only_what_holds_there() -> None:
    """A check without a scope is one of the build."""
    image = replace(CONTEXT, scopes=frozenset({CheckScope.BUILD}))
    parts = part(file="/"), part(file="/", scope="build"), part(service="app", scope="deploy")
    assert told(*parts, context=image) == ["ok", "ok", "skipped: scope: deploy"]


def test_names_stand_in_every_text_but_not_in_matchers() -> None:
    written = part(http="http://127.0.0.1:${HOST_PORT:80}/${TOOL}", body="${TOOL}", id="${TOOL}")
    (check,) = read_checks([written], replace(CONTEXT, forwards={80: 8123}))
    assert isinstance(check, Probe)
    assert (check.subject, check.data["body"]) == ("http://127.0.0.1:8123/a tool", "${TOOL}")
    assert not check.in_guest
    (check,) = read_checks([written], CONTEXT)
    assert isinstance(check, Probe)
    assert check.subject.startswith("http://127.0.0.1:80/")
    assert check.in_guest


def test_a_check_without_an_id_is_called_by_what_it_looks_at() -> None:
    parts = part(command="set -e\nid"), part(port=22), part(file="/", id="me"), part(file="/", then="it is there")
    assert [one.name for one in read_checks(parts, CONTEXT)] == ["command set -e", "port 22", "me", "it is there"]


def test_a_service_is_the_unit_that_its_layer_made_of_it(tmp_path: Path) -> None:
    text = """
        name: web
        service:
          - {name: app, exec: /bin/app}
          - {name: mine, exec: /bin/mine, scope: user}
          - {name: db, use_packaged: postgresql}
          - {name: db, exec: /bin/postgres}
        """
    assert service_units([spec(tmp_path, dedent(text), "web")]) == {
        "app": ServiceUnit("ov-web-app.service"),
        "mine": ServiceUnit("ov-web-mine.service", user=True),
        "db": ServiceUnit("postgresql.service"),
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"addr": "localhost"}, "'localhost'"),
        ({"addr": "localhost:web"}, "'localhost:web'"),
        ({"addr": "localhost:70000"}, "'localhost:70000'"),
        ({"port": 22, "ip": "localhost"}, "'localhost'"),
    ],
)
def test_what_cannot_be_looked_at(data: Mapping[str, Json], said: str) -> None:
    with pytest.raises(InputErrors) as caught:
        read_checks([part(7, **data)], CONTEXT)
    (error,) = caught.value.errors
    assert error.message.endswith(f"cannot look at {said}") and error.hint is not None
    assert error.where is not None and error.where.line == 7


def test_a_name_that_no_host_can_have() -> None:
    long = f"{'x' * 70}.example"
    forms = part(addr=f"{long}:80", scope="deploy"), part(dns=long, scope="deploy", resolvable=False)
    assert told(*forms) == ["failed: reachable: expected yes, found no host can have this name", "ok"]

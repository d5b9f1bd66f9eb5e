"""Layers over a real connection: one script, output as it comes, big files, Ctrl-C in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.guest.connection import Connection, connect
from ovtasks.layers.events import GuestEvent, What
from ovtasks.layers.guest import GuestShell, LayerRun, apply, installed, look, undo
from ovtasks.layers.probe import probe
from tests.support.layers import FACTS, plan, print_of
from tests.support.processes import alive
from tests.support.sshd import new_sshd


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Connection]:
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        with connect(server.target) as connection:
            yield connection


@pytest.fixture
def how(tmp_path: Path) -> LayerRun:
    return LayerRun(root=os.geteuid() == 0, base=str(tmp_path / "record"))


def text(*tasks: str) -> str:
    return "name: a\ntasks:\n" + "".join(f'  - {{{task}, user: "${{USER}}"}}\n' for task in tasks)


def test_in_and_out(guest: Connection, how: LayerRun, tmp_path: Path) -> None:
    shell: GuestShell = guest
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "layers/a").mkdir(parents=True)
    (tmp_path / "layers/a/big").write_bytes(os.urandom(300_000))
    layer = plan(
        tmp_path, text(f"copy: big, to: {root}/big", f"write: {root}/ü, content: 'ö'", "cmd: 'echo one; echo two >&2'")
    )
    heard: list[GuestEvent] = []
    apply(shell, [layer], heard.append, receipts={"a": '{"ü": 1}'}, how=how)
    assert (root / "big").read_bytes() == (tmp_path / "layers/a/big").read_bytes()
    assert (root / "ü").read_text() == "ö"
    assert [event.text for event in heard if event.what is What.OUTPUT] == ["one", "two"]
    assert [one.receipt for one in installed(shell, how=how)] == ['{"ü": 1}']
    assert [event.what for event in look(shell, ["a"], how=how)] == [What.SO, What.SO, What.UNSEEN]
    assert not undo(shell, ["a"], heard.append, how=how)
    assert print_of(root) == {}


def test_ctrl_c(guest: Connection, how: LayerRun, tmp_path: Path) -> None:
    said = tmp_path / "said"
    layer = plan(
        tmp_path,
        text(
            f"write: {tmp_path}/first, content: a",
            f"cmd: 'echo $$ >>{said}; echo go; test -e {tmp_path}/on || sleep 60'",
        ),
    )

    def interrupt(event: GuestEvent) -> None:
        if event.text == "go":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(guest, [layer], interrupt, how=how)
    assert not alive(int(said.read_text()))
    (tmp_path / "on").write_text("")
    heard: list[GuestEvent] = []
    apply(guest, [layer], heard.append, how=how)
    assert [event.what for event in heard if event.operation.startswith("write")] == [What.SAME]
    assert len(said.read_text().split()) == 2
    assert not undo(guest, ["a"], heard.append, how=how)
    assert not (tmp_path / "first").exists()


def test_facts(guest: Connection) -> None:
    found = probe(guest)
    assert found.user == FACTS.user and found.path.endswith(":/usr/bin:/bin") and "sbin" not in found.path

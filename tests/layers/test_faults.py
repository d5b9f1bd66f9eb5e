"""What goes wrong in a guest: a command fails, another deployment works, links lead away, nobody is root."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.layers.events import EventReader, GuestEvent, What
from ovtasks.layers.guest import LayerFailedError, LayerRun, apply, forget, installed, undo
from ovtasks.layers.operation import Gate
from ovtasks.layers.plan import LayerPlan
from ovtasks.layers.probe import probe
from tests.support.layers import FACTS, LocalShell, plan, print_of


def tasks(*lines: str, name: str = "a") -> str:
    return f"name: {name}\ntasks:\n" + "".join(f"  - {line}\n" for line in lines)


def cmd(text: str, more: str = "") -> str:
    return f"{{cmd: '{text}', user: \"${{USER}}\"{more}}}"


def test_a_failing_command(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    said = tmp_path / "said"
    text = tasks(cmd(f"echo one >>{said}"), cmd("seq 30; false; echo not reached"), cmd(f"echo three >>{said}"))
    other = plan(tmp_path, tasks(cmd("true"), name="b"), "b")
    with pytest.raises(LayerFailedError) as caught:
        guest.apply(plan(tmp_path, text), other)
    error = caught.value
    assert (error.layer, error.operation, error.phase, error.status) == (
        "a",
        "run seq 30; false; echo not reached",
        "do",
        1,
    )
    assert error.tail == tuple(str(n) for n in range(11, 31)) and "\n    30" in error.message
    assert error.where is not None and error.where.line == 4 and "--from a" in (error.hint or "")
    (recorded,) = installed(guest, how=guest.how)
    assert recorded.receipt == "" and [one.state for one in recorded.operations] == ["done", "begun"]
    guest.apply(plan(tmp_path, text.replace("false", "true")), other)
    assert said.read_text() == "one\nthree\n" and "not reached" in guest.output()
    assert [one.receipt for one in installed(guest, how=guest.how)] == ["{}", "{}"]


def test_output_cannot_pass_for_an_event(tmp_path: Path) -> None:
    heard: list[GuestEvent] = []
    reader = EventReader("token", heard.append)
    for piece in (
        b"layer a\ntok",
        b"en layer b\n 1 %\r 2 %\r\nno line endtoken doing x\nfailed do 1 x\n",
        b"\xff last",
    ):
        reader.feed(piece)
    reader.close()
    assert [(event.what, event.text or event.layer) for event in heard] == [
        (What.OUTPUT, "layer a"),
        (What.LAYER, "b"),
        (What.OUTPUT, " 2 %"),
        (What.OUTPUT, "no line end"),
        (What.DOING, "x"),
        (What.OUTPUT, "failed do 1 x"),
        (What.OUTPUT, "\ufffd last"),
    ]


def test_an_undo_that_fails_stays_in_the_record(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    flag = tmp_path / "flag"
    text = tasks(cmd("true", f", uninstall: [rm {tmp_path}/one]"), cmd("true", f", uninstall: [test -e {flag}]"))
    guest.apply(plan(tmp_path, text))
    (tmp_path / "one").write_text("")
    failed = undo(guest, ["a"], guest.events.append, how=guest.how)
    assert [(one.operation, one.phase, one.status) for one in failed] == [("run true (2)", "undo", 1)]
    assert not (tmp_path / "one").exists()
    (recorded,) = installed(guest, how=guest.how)
    assert [one.name for one in recorded.operations] == ["run true (2)"]
    with pytest.raises(LayerFailedError, match="undoing it"):
        guest.apply(plan(tmp_path, tasks(cmd("echo"))))
    flag.write_text("")
    guest.undo("a")
    assert installed(guest, how=guest.how) == ()


def test_a_layer_that_does_nothing_itself(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    empty, other = plan(tmp_path, "name: a\n"), plan(tmp_path, tasks(cmd("true")))
    for layer in (empty, empty, other, empty):
        guest.apply(layer)
        assert [one.receipt for one in installed(guest, how=guest.how)] == ["{}"]
    assert guest.undo("a") == [] and installed(guest, how=guest.how) == ()


def test_gates_that_are_kept_and_layers_that_are_forgotten(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    layer = plan(tmp_path, tasks(f'{{write: {tmp_path}/x, content: a, user: "${{USER}}"}}', cmd("true")))
    service = replace(layer.operations[0], gate=Gate.SERVICE)
    guest.apply(replace(layer, operations=(service, layer.operations[1])))
    heard: list[GuestEvent] = []
    assert not undo(guest, ["a"], heard.append, keep=[Gate.SERVICE], how=guest.how)
    assert [event.what for event in heard] == [What.LAYER, What.CANNOT, What.LEFT, What.REMOVED]
    assert (tmp_path / "x").exists()
    guest.apply(layer)
    forget(guest, ["a"], how=guest.how)
    assert installed(guest, how=guest.how) == () and (tmp_path / "x").exists()


def test_two_deployments_take_turns(tmp_path: Path) -> None:
    first, second = LocalShell(tmp_path), LocalShell(tmp_path)
    started, go = tmp_path / "started", tmp_path / "go"
    wait = cmd(f"touch {started}; until [ -e {go} ]; do sleep 0.05; done")
    thread = threading.Thread(target=lambda: first.apply(plan(tmp_path, tasks(wait))))
    thread.start()
    while not started.exists():
        time.sleep(0.01)
    threading.Timer(0.5, lambda: go.write_text("")).start()
    other = plan(tmp_path, tasks(cmd(f"test -e {go}"), name="b"), "b")
    assert second.apply(other)[0][0] is What.WAITING
    thread.join()
    assert [one.name for one in installed(first, how=first.how)] == ["a", "b"]


def test_the_lock_without_flock(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path, edit=lambda text: text.replace("command -v flock", "command -v no-flock"))
    held = tmp_path / "record/held"
    held.mkdir(parents=True)
    (held / "by").write_text("1 another-boot\n")
    layer = plan(tmp_path, tasks(cmd("true")))
    assert guest.apply(layer) == [(What.DONE, "run true")]
    assert not held.exists()


def test_a_background_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    guest.apply(plan(tmp_path, tasks(cmd(f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/pid"))))
    try:
        assert What.WAITING not in [what for what, _ in guest.apply(plan(tmp_path, tasks(cmd("true"))))]
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_places_that_are_refused(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    before = print_of(tmp_path / "folder")
    for path, words in (
        ("folder", "is a folder"),
        ("pipe", "is left alone"),
        ("dangling/x", "is a link that leads nowhere"),
    ):
        with pytest.raises(LayerFailedError, match=words):
            guest.apply(plan(tmp_path, tasks(f'{{write: {tmp_path}/{path}, content: a, user: "${{USER}}"}}')))
        guest.undo("a")
    assert print_of(tmp_path / "folder") == before and not (tmp_path / ".folder.ovtasks").exists()


def test_root_is_needed_and_nobody_is(tmp_path: Path) -> None:
    layer = plan(tmp_path, tasks("{write: /etc/x, content: a}"))
    with pytest.raises(OvError, match="needs root") as caught:
        apply(LocalShell(tmp_path), [layer], lambda event: None, how=LayerRun(root=False))
    assert caught.value.where == layer.operations[0].where


def test_a_full_disk_keeps_nothing_half(tmp_path: Path) -> None:
    """What cannot be recorded is not done."""
    guest = LocalShell(tmp_path)
    full = guest.folder / "bin/mkdir"
    full.write_text(
        '#!/bin/sh\ncase $* in *operations*) echo "No space left on device" >&2; exit 1;; esac\nexec /bin/mkdir "$@"\n'
    )
    full.chmod(0o755)
    layer: LayerPlan = plan(tmp_path, tasks(f'{{write: {tmp_path}/x, content: a, user: "${{USER}}"}}'))
    with pytest.raises(LayerFailedError, match="No space left"):
        guest.apply(layer)
    assert not (tmp_path / "x").exists()
    full.unlink()
    guest.apply(layer)
    guest.undo("a")
    assert not (tmp_path / "x").exists()


def test_facts_of_a_guest(tmp_path: Path) -> None:
    found = probe(LocalShell(tmp_path))
    assert (found.user, found.uid, found.gid, found.home) == (FACTS.user, FACTS.uid, FACTS.gid, FACTS.home)
    assert found.distro and "sh" in found.shells and found.path.startswith(f"{tmp_path}/bin:")
    assert found.root or os.geteuid() != 0

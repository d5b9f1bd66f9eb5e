"""Killed at any moment, two at once, a lost record, another host: the next deployment comes to the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.deploy.receipts import receipts_of
from ovtasks.host.files import flock
from ovtasks.host.paths import data_home
from tests.deploy.guest import Guest
from tests.deploy.test_deploy import ALLOWED, actions, three
from tests.deploy.test_undo import system
from tests.support.locks import await_waiter
from tests.support.tmux import wait_for

pytestmark = pytest.mark.slow  # each begins with a guest that nobody knows


def start(guest: Guest, *words: str) -> int:
    """Run ``ov`` in a process of its own; returns its number."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os._exit(run(["-C", str(guest.project), *words]))
    os.setpgid(child, child)  # here too: the child may not have come to it when we kill its group
    return child


def settle(guest: Guest) -> None:
    """Wait until nothing of a killed deployment runs in the guest: its lock there is free."""
    lock = guest.root / "var/lib/ovtasks/lock"
    if lock.exists():
        with flock(lock):
            pass


def test_killed_at_any_moment(guest: Guest) -> None:
    (guest.root / "etc/motd").write_text("mine")
    before = system(guest)
    slow = "\n".join(f"- cmd: sleep 0.05; echo {n} >>/srv/count" for n in range(4))
    guest.layer("base", f"tasks:\n- {{write: /etc/motd, content: hello}}\n{slow}\n")
    guest.layer("tools", "requires: [base]\ntasks:\n- {write: /srv/tools, content: one}\n- cmd: sleep 0.2\n")
    guest.deploy_yml(f"deploy:\n  web-vm: {{target: vm, add_layers: [tools], {ALLOWED}}}\n")
    guest.ov("deploy", "add", "web-vm")
    dice = random.Random(12)
    for attempt in range(8):
        guest.layer("base", f"tasks:\n- {{write: /etc/motd, content: hello {attempt}}}\n{slow}\n")
        child = start(guest, "deploy", "add", "web-vm")
        time.sleep(dice.uniform(0.2, 1.6))
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    guest.ov("deploy", "add", "web-vm")
    assert guest.file("/etc/motd") == f"hello {attempt}" and guest.file("/srv/tools") == "one"
    assert {one.state.value for one in receipts_of(guest.record).values()} == {"whole"}
    guest.connections()
    guest.ov("deploy", "add", "web-vm")
    assert guest.connections() == 0
    child = start(guest, "deploy", "del", "-y", "web-vm")
    time.sleep(0.5)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    settle(guest)
    guest.ov("deploy", "del", "vm:web")
    (guest.root / "srv/count").unlink(missing_ok=True)  # a command without uninstall: cannot be undone
    assert system(guest) == before


def test_killed_and_then_taken_out(guest: Guest) -> None:
    guest.layer("base", "tasks:\n- {write: /srv/a, content: a}\n- cmd: touch /srv/there; sleep 300\n")
    child = start(guest, "deploy", "add", "vm:web", "base", "--allow-root-tasks")
    end = time.monotonic() + 120
    while not (guest.root / "srv/there").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert receipts_of(guest.record)["base"].state.value == "begun"
    guest.layer("other", "tasks:\n- {write: /srv/b, content: b}\n")
    guest.deploy_yml(f"deploy:\n  web-vm: {{target: vm, add_layers: [other], {ALLOWED}}}\n")
    guest.ov("deploy", "add", "web-vm")
    assert "undone base; applied other" in guest.said
    assert guest.file("/srv/a") is None and guest.file("/srv/b") == "b"


def test_two_at_once(guest: Guest) -> None:
    three(guest)
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        lock = data_home() / "locks" / "ov-web.deploy"
        with flock(lock):
            os.write(told, b"x")
            await_waiter(lock)
        os._exit(0)
    os.read(ready, 1)
    guest.ov("deploy", "add", "web-vm")
    os.waitpid(holder, 0)
    assert f"waiting for another deployment to ov-web: process {holder}" in guest.said
    assert "applied base, tools, other" in guest.said


def test_another_host_learns_what_is_there(guest: Guest) -> None:
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    for path in (*guest.folder.glob("layers/*"), *guest.folder.glob("layers.*")):
        path.unlink()
    assert "was never asked" in guest.ov("deploy", "plan", "web-vm")
    motd = guest.version("etc/motd")
    found = actions(guest.ov("deploy", "add", "web-vm", "--json"))
    assert found == dict.fromkeys(("base", "tools", "other"), "keep")
    assert guest.version("etc/motd") == motd and len(receipts_of(guest.record)) == 3
    for path in (*guest.folder.glob("layers/*"), *guest.folder.glob("layers.*")):
        path.unlink()
    guest.ov("deploy", "del", "web-vm")
    assert "undone" in guest.said and guest.file("/etc/motd") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 2}', '{"version": 1, "layer": 5}'])
def test_a_damaged_receipt(guest: Guest, damage: str) -> None:
    three(guest, "base")
    guest.ov("deploy", "add", "web-vm")
    (guest.folder / "layers/base.json").write_text(damage)
    (guest.folder / "layers.stamp.json").write_text(damage)
    if damage == "{":
        (guest.folder / "layers.facts.json").write_text(damage)
    guest.ov("deploy", "add", "web-vm")
    assert receipts_of(guest.record)["base"].state.value == "whole" and guest.file("/etc/motd") == "hello"
    (guest.folder / "layers/base.json").write_text(damage)
    three(guest, "")
    guest.ov("deploy", "add", "web-vm")
    assert "undone base" in guest.said and guest.file("/etc/motd") is None


def test_the_guest_cannot_be_reached(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    guest.sshd.stop()
    monkeypatch.setattr("ovtasks.deploy.reach.READY_SECONDS", 1.0)
    guest.ov("deploy", "del", "web-vm", code=1)
    assert "web: not ready after" in guest.said and "web-vm" in (guest.project / "deploy.yml").read_text()
    guest.ov("deploy", "del", "web-vm", "--forget")
    assert not receipts_of(guest.record) and "web-vm" not in (guest.project / "deploy.yml").read_text()


def test_destroy_waits_for_a_deployment(guest: Guest) -> None:
    lock = data_home() / "locks" / "ov-web.deploy"
    lock.parent.mkdir(parents=True, exist_ok=True)
    until, end = os.pipe()
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        os.close(end)
        with flock(lock):
            os.write(told, b"x")
            os.read(until, 1)
        os._exit(0)
    os.close(until)
    os.read(ready, 1)
    child = start(guest, "vm", "destroy", "web", "--disk")
    assert wait_for(lambda: str(lock) in open_files(child), seconds=60)
    assert guest.record.folder.machine.exists() and guest.record.folder.disk.exists()
    os.write(end, b"x")
    assert os.waitpid(holder, 0)[1] == 0 and os.waitpid(child, 0)[1] == 0
    assert not guest.folder.exists()


def open_files(process: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(path.readlink()))
    return found

"""ssh and scp as the guest's owner uses them, whatever his own configuration says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.guest.ssh import scp_argv, ssh_argv
from ovtasks.guest.target import Target
from tests.support.programs import attempt, call
from tests.support.sshd import BATCH, CONNECTION_FAILED, Sshd, new_sshd, run_ssh


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        yield server


@pytest.fixture
def target(server: Sshd, tmp_path: Path) -> Target:
    """Files with names that ssh must be told with care."""
    odd = tmp_path / "a b,%h"
    odd.mkdir()
    for name in ("id", "known_hosts"):
        (server.folder / name).rename(odd / name)
    return replace(server.target, identity=odd / "id", known_hosts=odd / "known_hosts")


def test_output_and_exit_status_are_the_commands(target: Target) -> None:
    done = run_ssh(target, ["cat; echo err >&2; exit 7"], 30.0, b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")


def test_a_users_own_configuration_has_no_say(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  ProxyCommand false\n  Port 1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_ssh(target, ["true"], 30.0).returncode == 0


def test_an_unknown_host_key_is_refused(target: Target, tmp_path: Path) -> None:
    strict = replace(target, known_hosts=tmp_path / "none")
    assert run_ssh(strict, ["true"], 30.0).returncode == CONNECTION_FAILED
    once = replace(strict, strict=False)
    assert run_ssh(once, ["true"], 30.0).returncode == 0
    assert (tmp_path / "none").read_text().startswith("ov-web ssh-ed25519 ")
    assert run_ssh(strict, ["true"], 30.0).returncode == 0


def test_becoming_ssh_hands_over_the_exit_status(target: Target) -> None:
    argv = ssh_argv(target, ["exit", "9"], extra=BATCH)
    code = f"from ovtasks.guest.ssh import become; become({argv!r})"
    assert attempt(sys.executable, "-c", code).returncode == 9


def test_scp_there_and_back(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b").write_text("hello")
    there = tmp_path / "there"
    call(*scp_argv(target, ["a:b"], f":{there}"))
    call(*scp_argv(target, [f":{there}"], "back"))
    assert Path("back").read_text() == "hello"

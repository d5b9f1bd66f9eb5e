"""``ov vm run``: whatever happens to it, nothing of its VM is left, and the declared VM is as it was."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.main import run
from ovtasks.host.foreground import foreground
from ovtasks.host.paths import data_home
from ovtasks.instance import ready
from tests.support.programs import attempt
from tests.support.tmux import wait_for
from tests.support.workbench import OV, Workbench, cloud_vm

pytestmark = pytest.mark.slow
VM = {"ram": "128M", "cpus": 1, "ssh": {"user": "tester", "key_source": "generate"}}
RUN = ("vm", "run", "--timeout", "9000", "web", "--", "true")


def listed(bench: Workbench) -> dict[str, dict[str, Any]]:
    return {vm["domain"]: vm for vm in json.loads(bench.ov("vm", "list", "-a", "--json").stdout)}


def files() -> list[str]:
    """Everything that instances have, but for the lock of all ports."""
    found = (str(path.relative_to(data_home())) for path in data_home().rglob("*") if path.is_file())
    return sorted(name for name in found if name != "ports.lock")


def running(bench: Workbench) -> str | None:
    """The throw-away VM that runs."""
    return next((name for name, vm in listed(bench).items() if "-run-" in name and vm["state"] == "running"), None)


def test_killed_at_any_time(bench: Workbench, empty_image: Path) -> None:
    bench.write({"web": cloud_vm(empty_image, **VM)})
    bench.ov("vm", "create", "--no-start", "web")
    before = files()
    assert "web -i run-" in bench.ov("vm", "run", "--timeout", "1", "web", "--", "true", code=1).stderr
    assert files() == before

    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = bench.start([*OV, *RUN])
        assert wait_for(lambda: running(bench) is not None, seconds=120)
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode == code
        assert files() == before and [*listed(bench)] == ["ov-web"]

    for again in (False, True):
        process = bench.start([*OV, *RUN])
        assert wait_for(lambda: running(bench) is not None, seconds=120)
        left = running(bench)
        assert left is not None and f"/{left}\n" not in bench.ov("gc").stdout, "it has an owner"
        process.kill()
        process.communicate(timeout=120)
        assert running(bench) == left
        if again:
            said = bench.ov("vm", "run", "--timeout", "1", "web", "--", "true", code=1).stderr
            assert "its run was killed" in said
        else:
            assert "would go" in bench.ov("gc", "-n").stdout and running(bench) == left
            assert f"throw-away VM of a run that was killed  {data_home() / 'vm' / left}" in bench.ov("gc").stdout
        assert files() == before and [*listed(bench)] == ["ov-web"]


def test_the_commands_status(
    bench: Workbench, empty_image: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The guest is a stand-in that is ready at once; its ssh says what it was called with."""
    bench.write({"web": cloud_vm(empty_image, **VM)})
    bench.ov("vm", "build", "web")
    before = files()
    ssh = bench.root / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=":")
    monkeypatch.setattr(ready, "wait", lambda *_, **__: None)
    monkeypatch.setattr("ovtasks.instance.access.first_contact", lambda *_, **__: None)
    for name, value in bench.env.items():
        monkeypatch.setenv(name, value)
    assert run(["-C", str(bench.root), "vm", "run", "web", "--", "cat", "/etc/motd"]) == 7
    said = capfd.readouterr().out
    assert said.endswith(" cat /etc/motd\n") and "HostKeyAlias=ov-web-run-" in said
    assert files() == before and listed(bench) == {}


def test_foreground_hands_on_streams_and_status() -> None:
    code = "import sys; from ovtasks.host.foreground import foreground; sys.exit(foreground(sys.argv[1:]))"
    done = attempt(sys.executable, "-c", code, "sh", "-c", "cat; exit 5", stdin="through")
    assert (done.returncode, done.stdout) == (5, "through")
    assert foreground(["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM

"""Ephemeral deployments: named, given a deadline, taken down by the timer's command, by ov gc, or when they fail."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ovtasks.deploy import ephemeral
from ovtasks.deploy.ephemeral import discard_failed, drop_expired, note_deadline, timer_command
from ovtasks.errors import OvError, RefusedError
from ovtasks.host.progress import SilentProgress
from ovtasks.instance.find import find_or_none
from ovtasks.instance.record import Record, new_record
from ovtasks.project.deploy_model import Deployment, Ephemeral
from ovtasks.project.load import check, load_project
from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.programs import attempt
from tests.support.projects import CLOUD, write

ENTRY = "deploy: {{ci: {{target: vm, vm: web, ephemeral: {0}}}}}\n"
QUIET = SilentProgress()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the VM ``web``, and folders of its own for instances."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    write(tmp_path / "p", f"vms: {{web: {{source: {CLOUD}}}}}\n")
    return tmp_path / "p"


@pytest.fixture
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The commands that systemd would have got; it takes none."""
    asked: list[list[str]] = []

    def arm(record: Record) -> bool:
        asked.append(timer_command(record))
        return False

    monkeypatch.setattr(ephemeral, "arm", arm)
    yield asked


def deployment(project: Path, said: str = "true") -> Deployment:
    write(project, ENTRY.format(said), "deploy.yml")
    return load_project(project, cache=False).deployments["ci"]


def instance(project: Path, of: Deployment, **fields: object) -> Record:
    """An instance that is not defined, but has a disk."""
    made = new_record(of.vm, of.instance, project, "qemu", None, None)
    made.folder.make()
    made.folder.disk.touch()
    record = replace(made, instance_id="ov-1", **fields)  # type: ignore[arg-type]
    record.save()
    return record


def past(seconds: float = 1) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_names(project: Path) -> None:
    one = deployment(project)
    assert one.instance is not None and one.instance.startswith("eph-") and len(one.instance) == len("eph-") + 6
    assert int(one.instance.removeprefix("eph-"), 16) >= 0 and deployment(project).instance == one.instance
    digits = one.instance.removeprefix("eph-")
    assert deployment(project, "{naming_pattern: '{vm}-ci-{id}'}").instance == f"ci-{digits}"
    assert deployment(project, "{naming_pattern: nightly}").instance == "nightly"
    write(project, "deploy: {'vm:web/dev': {ephemeral: true}}\n", "deploy.yml")
    assert load_project(project, cache=False).deployments["vm:web/dev"].instance == "dev"


@pytest.mark.parametrize(
    ("entry", "message", "hint", "place"),
    [
        ("{ci: {target: vm, vm: web, ephemeral: {naming_pattern: 'A b'}}}", "no name of an inst", "{vm}-ci-{id}", 64),
        ("{ci: {target: vm, vm: web, ephemeral: {naming_pattern: 'x{y}'}}}", "'x{y}' makes no", "{vm} and {id}", 64),
        ("{vm:web/eph-1: {disposable: true}}", "belong to ephemeral deployments", "rename", 10),
        ("{web-eph-1: {target: vm, vm: web}}", "belong to ephemeral instances", "rename", 10),
    ],
)
def test_bad_names(project: Path, entry: str, message: str, hint: str, place: int) -> None:
    write(project, f"deploy: {entry}\n", "deploy.yml")
    (error,) = check((), project).errors
    assert message in error.message and hint in (error.hint or "") and error.where is not None
    assert (error.where.line, error.where.column) == (1, place)


def test_the_page(project: Path) -> None:
    """The example of docs/deploy.md."""
    ((_, example),) = blocks(ROOT / "docs" / "deploy.md", "ephemeral")
    write(project, "tasks: [{mkdir: /srv/a}]\n", "layers/greeting/layer.yml")
    write(project, example, "deploy.yml")
    assert not check((), project).errors
    found = load_project(project, cache=False).deployments["ci"]
    assert str(found.instance).startswith("eph-") and found.ephemeral == Ephemeral(7200, keep_on_failure=True)


def test_deadline(project: Path, no_systemd: list[list[str]]) -> None:
    """It is set once, and goes when the deployment is no longer ephemeral."""
    one = deployment(project, "{ttl: 2h}")
    record = note_deadline(one, instance(project, one), QUIET)
    assert record.expires is not None and find_or_none("web", one.instance) == record
    left = datetime.fromisoformat(record.expires) - datetime.now(UTC)
    assert timedelta(hours=2) - timedelta(seconds=5) < left <= timedelta(hours=2) and not record.is_over
    assert len(no_systemd) == 1
    assert note_deadline(one, record, QUIET) == record and len(no_systemd) == 1
    assert note_deadline(replace(one, ephemeral=None), record, QUIET).expires is None
    assert "expires" not in json.loads(record.folder.record.read_text())


def test_a_lost_record_keeps_its_deadline(project: Path) -> None:
    one = deployment(project)
    record = instance(project, one, expires=past())
    record.folder.record.unlink()
    found = find_or_none("web", one.instance)
    assert found is not None and found.is_over


def test_the_timers_command(project: Path) -> None:
    """What systemd would run does take it down, from any folder and with the variables that it gets alone."""
    one = deployment(project)
    record = instance(project, one, expires=(datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds"))
    words = timer_command(record)
    assert words[:2] == ["systemd-run", "--user"]
    (active,) = [word for word in words if word.startswith("--on-active=")]
    assert 3590 <= int(active.removeprefix("--on-active=").removesuffix("s")) <= 3600
    at = words.index("--")
    given = dict(word.removeprefix("--setenv=").split("=", 1) for word in words[:at] if word.startswith("--setenv="))
    assert given["XDG_DATA_HOME"] == os.environ["XDG_DATA_HOME"]
    env = {"HOME": str(project.parent), **given}
    done = attempt(*words[at + 1 :], cwd=Path("/"), env=env)
    assert done.returncode == 0 and record.folder.path.exists(), done.stderr  # too early

    replace(record, expires=past()).save()
    done = attempt(*words[at + 1 :], cwd=Path("/"), env=env)
    assert done.returncode == 0 and "it expired at" in done.stderr, done.stderr
    assert not record.folder.path.exists()
    assert attempt(*words[at + 1 :], cwd=Path("/"), env=env).returncode == 0  # it is gone already


def test_systemd_takes_the_words(project: Path) -> None:
    """systemd-run knows each option; without a manager to talk to it fails only at that."""
    one = deployment(project)
    record = instance(project, one, expires=(datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds"))
    words = timer_command(record)
    done = attempt(*words, env={**os.environ, "XDG_RUNTIME_DIR": "/nonexistent", "DBUS_SESSION_BUS_ADDRESS": ""})
    assert done.returncode != 0 and "option" not in done.stderr and "connect" in done.stderr.lower(), done.stderr


def test_gc(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ovtasks.cli.main import run

    one = deployment(project)
    record = instance(project, one, expires=past())
    other = instance(project, replace(one, instance="dev"))
    assert run(["-C", str(project), "gc", "--dry-run"]) == 0
    assert "ephemeral VM whose time is over" in capsys.readouterr().out and record.folder.path.exists()
    assert run(["-C", str(project), "vm", "list", "-a"]) == 0
    said = capsys.readouterr().out
    assert "EXPIRES" in said and str(record.expires) in said
    assert run(["-C", str(project), "deploy", "status", "ci"]) == 0
    assert f"expires {record.expires}" in capsys.readouterr().out
    assert run(["-C", str(project), "gc"]) == 0
    assert str(record.folder.path) in capsys.readouterr().out
    assert not record.folder.path.exists() and other.folder.path.exists()


def test_failed(project: Path) -> None:
    """It goes when its layers or checks fail, unless it is to be kept, or nothing was done."""
    one = deployment(project)
    record = instance(project, one)
    discard_failed(one, record, QUIET, RefusedError("a gate is closed"))
    discard_failed(deployment(project, "{keep_on_failure: true}"), record, QUIET, OvError("a layer failed"))
    discard_failed(replace(one, ephemeral=None), record, QUIET, OvError("a layer failed"))
    assert record.folder.path.exists()
    discard_failed(one, record, QUIET, OvError("a layer failed"))
    assert not record.folder.path.exists()


def test_a_deployment_after_the_deadline_begins_anew(project: Path) -> None:
    one = deployment(project)
    record = instance(project, one)
    assert not drop_expired(one, QUIET)
    replace(record, expires=past()).save()
    assert drop_expired(one, QUIET) and not record.folder.path.exists()
    assert not drop_expired(one, QUIET)

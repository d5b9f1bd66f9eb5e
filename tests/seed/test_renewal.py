"""What a clone's guest makes anew at its first boot: the shell scripts of the seed, run below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.project.model import CloneSource
from ovtasks.seed.renewal import renewal
from tests.support.programs import call

SETUP = "#!/bin/sh\nhead -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > {root}/etc/machine-id\n"
OLD = "0123456789abcdef0123456789abcdef"
Run = Callable[[bool], None]


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    for name in ("etc", "var/lib/dbus", "var/lib/cloud/sem", "var/lib/cloud/instances/old", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text(f"{OLD}\n")
    (tmp_path / "var/lib/cloud/sem/done.once").touch()
    (tmp_path / "var/lib/cloud/instances/new").mkdir()
    (tmp_path / "var/lib/cloud/instance").symlink_to(tmp_path / "var/lib/cloud/instances/new")
    setup = tmp_path / "bin/systemd-machine-id-setup"
    setup.write_text(SETUP.format(root=tmp_path))
    setup.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(guest: Path) -> Run:
    def run(clean: bool) -> None:
        for command in renewal(CloneSource(kind="clone", fields={}, cloud_init_clean=clean)):
            assert isinstance(command, list) and command[:2] == ["cloud-init-per", "instance"]
            *_, shell, option, script = map(str, command)
            for place in ("/etc/", "/var/lib/"):
                script = script.replace(f" {place}", f" {guest}{place}").replace(f"={place}", f"={guest}{place}")
            call(shell, option, script, env={**os.environ, "PATH": f"{guest}/bin:{os.environ['PATH']}"})

    return run


def test_machine_id(guest: Path, run: Run) -> None:
    (guest / "var/lib/dbus/machine-id").write_text(f"{OLD}\n")
    run(False)
    new = (guest / "etc/machine-id").read_text()
    assert len(new) == 32 and new != OLD
    assert (guest / "var/lib/dbus/machine-id").readlink() == guest / "etc/machine-id"
    assert (guest / "var/lib/cloud/sem/done.once").exists() and (guest / "var/lib/cloud/instances/old").exists()


def test_a_guest_without_dbus_or_systemd(guest: Path, run: Run) -> None:
    (guest / "bin/systemd-machine-id-setup").chmod(0o644)
    run(False)
    assert not (guest / "var/lib/dbus/machine-id").exists()


def test_clean(guest: Path, run: Run) -> None:
    run(True)
    assert not [*(guest / "var/lib/cloud/sem").iterdir()]
    assert [path.name for path in (guest / "var/lib/cloud/instances").iterdir()] == ["new"]

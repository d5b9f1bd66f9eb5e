"""The example for Ansible, against a real sshd in the part of the guest's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.cli.main import run as main
from ovtasks.host.files import write_atomic
from ovtasks.host.paths import instance_directory
from ovtasks.instance.access import write_access
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import HostKey, load
from tests.support.checkout import ROOT
from tests.support.programs import Ended, attempt
from tests.support.server import Site
from tests.support.sshd import Sshd, new_sshd

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        yield server


def test_ping_and_playbook(
    filled: Site, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("OV_VM_BACKEND", "qemu")
    project = Path(shutil.copytree(ROOT / "examples/ansible", tmp_path / "project"))
    assert main(["-C", str(project), "-q", "vm", "create", "web", "--no-start"]) == 0
    record = load(Folder(instance_directory("ov-web")))
    assert record is not None
    record = replace(
        record,
        ssh_port=server.port,
        user=server.target.user,
        identity=server.folder / "id",
        host_key=HostKey.CONFIRMED,
    )
    write_atomic(record.folder.host_key.with_suffix(".pub"), server.host_key())
    record.save()
    write_access(record)
    capfd.readouterr()
    assert main(["-C", str(project), "ssh-config"]) == 0
    (project / "ssh_config").write_text(capfd.readouterr().out, encoding="utf-8")
    assert "Host ov-web" in (project / "ssh_config").read_text(encoding="utf-8")
    env = {**os.environ, "HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local")}

    def ansible(program: str, *words: str) -> Ended:
        # The sshd in the guest's part is this host's: no terminal may be had there, and Python is the system's own.
        values = {
            "ansible_remote_tmp": f"{tmp_path}/remote",
            "ansible_become": "false",
            "ansible_ssh_use_tty": "false",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        more = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        return attempt(program, "-i", "inventory.ini", *words, *more, cwd=project, env=env)

    done = ansible("ansible", "vms", "-m", "ping")
    assert done.returncode == 0 and '"ping": "pong"' in done.stdout, done
    page = tmp_path / "page"
    for changed in (1, 0):
        done = ansible("ansible-playbook", "site.yml", "-e", f'{{"page": "{page}", "packages": []}}')
        assert done.returncode == 0 and f"changed={changed}" in done.stdout, done
    assert page.read_text(encoding="utf-8") == "made by ansible\n"

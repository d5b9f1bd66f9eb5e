"""Layers in a booted guest: put in, killed while that happens, edited, looked at, and taken out without a trace; then
``ov update``."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovtasks.host.run import Result
from tests.boot.project import Project
from tests.support.processes import start
from tests.support.server import serve
from tests.support.showcase import edit_service, site_of, write_layers

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-layers")]

GATES = ("--with-services", "--allow-repo-changes", "--allow-root-tasks")
GUEST_HOST = "10.0.2.2"
"""This machine, seen from a guest behind QEMU's user network."""
KILLS = int(os.environ.get("OV_TEST_KILLS", "8"))
"""Each takes a quarter of a minute of an emulated guest; tests/layers kills at every call that changes anything."""
SEED = 12
SNAPSHOT = """
sudo dpkg -l | tail -n +6
systemctl list-unit-files --state=enabled --no-legend --no-pager
sudo find /etc /opt /usr/local /home /root /var/lib/systemd/linger -xdev -not -name '.ssh' -not -path '*/.ssh/*' \
    -printf '%p %y %m %u:%g %l\\n' | sort
sudo find /etc /opt /usr/local /home -xdev -type f -not -path '*/.ssh/*' -exec sha256sum {} + | sort -k 2
"""


@dataclass(frozen=True)
class Scene:
    """The project with its layers."""

    project: Project

    def add(self, *words: str, code: int = 0) -> Result:
        return self.project.ov("deploy", "add", "vm:demo", "services", *GATES, *words, code=code)

    def snapshot(self) -> list[str]:
        """Packages, what is enabled, and files with owners, modes and contents."""
        return self.project.ssh(SNAPSHOT).splitlines()


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Iterator[Scene]:
    with serve(site_of(tmp_path)) as site:
        write_layers(project.root, site.url, f"{GUEST_HOST}:{site.url.rpartition(':')[2]}", site)
        project.user.owned(project.root / "layers")
        yield Scene(project)


def test_layers_of_a_booted_guest(scene: Scene) -> None:
    project = scene.project
    project.edit(r"(?m)^    disk_size: 2G$", "    disk_size: 2G\n    backend: qemu")
    project.ov("vm", "create", "demo")
    project.ov("vm", "wait", "demo", "--for", "cloud-init")
    project.ssh("sudo touch /opt/mine")  # dpkg removes an empty folder with the last package that has it
    before = scene.snapshot()
    killed(scene)
    done = scene.add("--verify")
    assert "checks fail" not in done.stderr
    assert "nothing to do" in scene.add().stderr
    assert "all is as it was put" in project.ov("deploy", "status", "vm:demo", "--drift").stdout
    boot = project.ssh("cat /proc/sys/kernel/random/boot_id")
    edit_service(project.root, 1000002, reboot=True)
    edited = scene.add().stderr
    assert project.ssh("cat /proc/sys/kernel/random/boot_id") != boot
    assert "redone services" in edited and "tools" not in edited and "base" not in edited
    assert project.ssh("systemctl show -P ExecStart ov-services-sleeper").count("1000002") == 1
    project.ov("deploy", "del", "vm:demo", "--yes")
    assert scene.snapshot() == before
    updated(scene)


def killed(scene: Scene) -> None:
    """``ov deploy add``, killed at random moments again and again. Each run goes on where the last one was."""
    chosen = random.Random(SEED)
    user = scene.project.user
    words = ("deploy", "add", "vm:demo", "services", *GATES)
    code = "import sys; from ovtasks.cli import main; sys.exit(main())"
    for _ in range(KILLS):
        process = start(*user.words, user.python, "-c", code, *words, cwd=scene.project.root, env=user.env)
        time.sleep(chosen.uniform(0.5, 8.0))
        user.kill(Path(user.python).name)
        process.communicate(timeout=60)


def updated(scene: Scene) -> None:
    """Refused without the flag; harmless when the build fails; done with it, layers included."""
    project = scene.project
    entry = "deploy:\n  vm:demo:\n    add_layers: [base]\n    install_opts: {allow_repo_changes: true}\n"
    (project.root / "deploy.yml").write_text(entry)
    project.user.owned(project.root / "deploy.yml")
    project.ov("deploy", "add", "vm:demo")
    first = project.ssh("cat /var/lib/cloud/data/instance-id")
    refused = project.ov("update", "demo", code=3).stderr
    assert "deploy.yml" in refused and "disposable: true" in refused
    project.ov("deploy", "add", "vm:demo", "--disposable")
    project.edit(r"(?m)^      suite: bookworm$", "      suite: nosuchsuite")
    project.ov("update", "demo", code=2)
    assert project.ssh("cat /var/lib/cloud/data/instance-id") == first
    project.edit(r"(?m)^      suite: nosuchsuite$", "      suite: bookworm")
    project.ov("update", "demo")
    assert project.ssh("cat /var/lib/cloud/data/instance-id") != first
    assert project.ssh("cat /opt/ov-hello") == "1"

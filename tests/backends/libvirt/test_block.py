"""The ``libvirt:`` block from the file to a running VM, with a real session daemon, as an ordinary user."""

from __future__ import annotations

import stat

import pytest

from tests.backends.libvirt.test_definition import Project, project

__all__ = ["project"]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]

WRONG = """\
vms:
  web:
    source: {kind: cloud_image, url: %s, checksum: {type: none}}
    disk_size: 1G
    backend: libvirt
    accel: tcg
    libvirt:
      cpu:
        mode: host-passthrough
"""


def test_what_the_machine_cannot_is_told_with_its_line(project: Project) -> None:
    (project.root / "vms.yml").write_text(WRONG % project.image, encoding="utf-8")
    for verb in ("xml", "create"):
        error = project.ov("vm", verb, "web", code=2).stderr
        assert "vms.yml:9:15: libvirt.cpu.mode host-passthrough needs KVM" in error
    assert project.virsh("list", "--all", "--name").split() == []


def test_needs_are_said_and_sockets_have_their_folders(project: Project) -> None:
    devices = {
        "channels": [{"name": "org.example.0", "path": "${vm.sockets}/channels/example.sock"}],
        "graphics": [{"type": "vnc", "listen": {"socket": "{{.VmStateDir}}/screen/vnc"}}],
        "disks": [{"device": "cdrom", "boot": 1}],
    }
    project.declare(libvirt={"devices": devices})
    said = "boot order by devices: the VM's own disk is number 2"
    made = project.ov("vm", "create", "web")
    assert said in made.stdout + made.stderr
    again = project.ov("vm", "create", "web")
    assert said not in again.stdout + again.stderr
    home = project.user.home
    screen = home / ".local/share/ov/vm/ov-web/screen"
    channels = [path for place in (".local", "run") for path in (home / place).rglob("channels")]
    folders = [screen, *channels]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700, 0o700]
    assert (folders[0] / "vnc").is_socket() and (folders[1] / "example.sock").is_socket()
    project.ov("vm", "stop", "--force", "web")

    project.declare(libvirt={"devices": {**devices, "disks": [{"device": "cdrom", "boot": 3}]}})
    assert "number 4" in project.ov("plan", "create:web").stdout

"""``ov vm xml | argv | diff`` with a real session daemon, as an ordinary user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ovtasks.host.run import Result
from tests.support.session import SessionUser
from tests.support.workbench import cloud_vm, make_image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]


class Project:
    """A project of the user's with one VM."""

    def __init__(self, user: SessionUser) -> None:
        self.user = user
        self.root = user.home / "definitions"
        self.root.mkdir()
        self.image = self.root / "empty.qcow2"
        make_image(self.image)
        user.owned(self.root)

    def declare(self, **fields: Any) -> None:
        ssh = {"user": "tester", "key_source": "generate"}
        vms = {"web": cloud_vm(self.image, **{"ram": "128M", "cpus": 1, "backend": "libvirt", "ssh": ssh, **fields})}
        (self.root / "vms.yml").write_text(json.dumps({"vms": vms}, indent=1), encoding="utf-8")

    def ov(self, *words: str, code: int = 0) -> Result:
        return self.user.ov(*words, cwd=self.root, code=code)

    def virsh(self, *words: str | Path) -> str:
        done = self.user.run("virsh", "-q", "-c", "qemu:///session", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def project(user: SessionUser) -> Iterator[Project]:
    made = Project(user)
    yield made
    made.ov("vm", "destroy", "--disk", "web")
    shutil.rmtree(made.root)


def test_definitions(project: Project) -> None:
    project.declare(libvirt={"snippets": ["<watchdog model='i6300esb' action='reset'/>"]})
    before = project.ov("vm", "xml", "web")
    assert "web is not created yet" in before.stderr
    domain = ET.fromstring(before.stdout)
    assert domain.findtext("name") == "ov-web" and domain.find("devices/watchdog") is not None
    assert project.virsh("list", "--all", "--name").split() == []
    assert not (project.user.home / ".local/share/ov/vm/ov-web").exists()

    project.ov("vm", "create", "web", "--no-start")
    project.ov("vm", "diff", "web")
    made = project.ov("vm", "xml", "web").stdout
    assert made == (project.user.home / ".local/share/ov/vm/ov-web/definition.xml").read_text(encoding="utf-8")

    # what libvirt itself runs
    words = json.loads(project.ov("vm", "argv", "web", "--json").stdout)
    assert any("qemu-system" in word for word in words) and any("i6300esb" in word for word in words)
    assert "guest=ov-web" in project.ov("vm", "argv", "web").stdout

    project.declare(libvirt={"snippets": ["<watchdog model='i6300esb' action='poweroff'/>"]})
    diff = project.ov("vm", "diff", "web", code=4).stdout
    assert (
        '\n-    <watchdog model="i6300esb" action="reset" />\n+    <watchdog model="i6300esb" action="poweroff" />'
        in diff
    )

    # a layer brings the same, and one thing more
    (project.root / "layers/dog").mkdir(parents=True)
    layer = ["<watchdog model='i6300esb' action='poweroff'/>", "<genid/>"]
    (project.root / "layers/dog/layer.yml").write_text(json.dumps({"libvirt": layer}), encoding="utf-8")
    entry = {"target": "vm", "vm": "web", "add_layers": ["dog"]}
    (project.root / "deploy.yml").write_text(json.dumps({"deploy": {"web": entry}}), encoding="utf-8")
    project.user.owned(project.root / "layers")
    domain = ET.fromstring(project.ov("vm", "xml", "web").stdout)
    assert len(domain.findall("devices/watchdog")) == 1 and domain.find("genid") is not None
    project.ov("vm", "create", "web", "--no-start")
    assert "genid" in project.virsh("dumpxml", "ov-web")
    project.ov("vm", "diff", "web")

    # somebody else's hand
    text = project.virsh("dumpxml", "ov-web").replace("<vcpu placement='static'>1", "<vcpu placement='static'>2")
    file = project.root / "edited.xml"
    file.write_text(text, encoding="utf-8")
    project.user.owned(file)
    project.virsh("define", file)
    changed = project.ov("vm", "diff", "web", "--json", code=4)
    assert json.loads(changed.stdout)["state"] == "changed by others"
    assert "another program changed its definition" in changed.stderr


SNIPPET = """\
vms:
  web:
    source: {kind: cloud_image, url: %s, checksum: {type: none}}
    disk_size: 1G
    backend: libvirt
    libvirt:
      snippets:
        - |
          <cpu mode='custom'>
            <model>qemu64</model>
          </cpu>
"""
MODE = """\
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
TOLD = [
    (SNIPPET, "vms.yml:9:11: libvirt.snippets[0]: <cpu mode> is 'custom', but this VM has 'maximum'"),
    (MODE, "vms.yml:9:15: libvirt.cpu.mode host-passthrough needs KVM"),
]


@pytest.mark.parametrize(("text", "message"), TOLD, ids=["snippet", "mode"])
def test_what_does_not_fit_is_told_with_its_line_before_anything_is_defined(
    text: str, message: str, project: Project
) -> None:
    (project.root / "vms.yml").write_text(text % project.image, encoding="utf-8")
    for verb in ("xml", "create"):
        assert message in project.ov("vm", verb, "web", code=2).stderr
    assert project.virsh("list", "--all", "--name").split() == []


def test_what_libvirts_schema_does_not_know_is_told_with_its_line(project: Project) -> None:
    snippets = ["<watchdog model='i6300esb' action='reset'/>", "<rng model='virtio'><sauce/></rng>"]
    project.declare(libvirt={"snippets": snippets})
    error = project.ov("vm", "create", "web", "--no-start", code=2).stderr
    text = (project.root / "vms.yml").read_text(encoding="utf-8")
    line = text[: text.index("<sauce")].count("\n") + 1
    assert f"vms.yml:{line}:" in error and "libvirt.snippets[1]: libvirt's schema has no such thing" in error
    assert project.virsh("list", "--all", "--name").split() == []


def test_what_is_added_is_said(project: Project) -> None:
    second = {"source": {"file": str(project.image)}, "boot": 1}
    project.declare(libvirt={"devices": {"disks": [second]}})
    done = project.ov("vm", "xml", "web")
    assert "boot order by devices: the VM's own disk is number 2" in done.stderr
    assert ET.fromstring(done.stdout).find("os/boot") is None


def test_each_backend_of_a_vm_of_the_other(project: Project) -> None:
    project.declare(backend="qemu")
    project.ov("vm", "create", "web", "--no-start")
    done = project.ov("vm", "xml", "web")
    assert "web runs by qemu; this is what libvirt would run" in done.stderr
    assert ET.fromstring(done.stdout).findtext("name") == "ov-web"
    assert project.virsh("list", "--all", "--name").split() == []

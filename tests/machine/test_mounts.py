"""Folders of ``mounts:`` in libvirt's XML and in QEMU's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.host.run import run
from ovtasks.machine.devices.filesystem import Share
from ovtasks.machine.machine import Machine, SharedFolder
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.families import command
from ovtasks.machine.xml.domain import domain_xml
from tests.machine.hosts import EVERYTHING
from tests.machine.test_table_argv import HOST
from tests.support.machines import FOLDER, machine

ODD = Path("/srv/a b: c, d <&>")
FAST = SharedFolder("ov-mount0", ODD, "/src", "virtiofs", login=1000)
PLAIN = SharedFolder("ov-mount1", Path("/srv/in"), "/in", "9p", read_only=True)


def sharing(*shares: SharedFolder, **more: Any) -> Machine:
    return replace(machine(**more), shares=shares)


def test_xml(tmp_path: Path) -> None:
    text = domain_xml(sharing(FAST, PLAIN), EVERYTHING)
    (tmp_path / "domain.xml").write_text(text, encoding="utf-8")
    run(["virt-xml-validate", tmp_path / "domain.xml", "domain"])
    root = ET.fromstring(text)
    fast, plain = root.findall("devices/filesystem")
    assert {one.tag: one.attrib for one in fast} == {
        "driver": {"type": "virtiofs"},
        "source": {"dir": str(ODD)},
        "target": {"dir": "ov-mount0"},
    }
    assert plain.attrib == {"type": "mount", "accessmode": "squash", "multidevs": "remap"}
    assert {one.tag: one.attrib for one in plain} == {
        "source": {"dir": "/srv/in"},
        "target": {"dir": "ov-mount1"},
        "readonly": {},
    }
    memory = root.find("memoryBacking")
    assert memory is not None and [(one.tag, *one.attrib.values()) for one in memory] == [
        ("source", "memfd"),
        ("access", "shared"),
    ]
    assert ET.fromstring(domain_xml(sharing(PLAIN), EVERYTHING)).find("memoryBacking") is None


def test_argv() -> None:
    made = command(sharing(FAST, PLAIN), HOST)
    words = argv_of(made)
    (share,) = made.helpers
    assert isinstance(share, Share)
    assert (share.source, share.readonly, share.login, share.socket.name) == (ODD, False, 1000, "fs0.sock")
    assert any("vhost-user-fs-pci" in word and "tag=ov-mount0" in word for word in words)
    assert any("memory-backend-memfd" in word and "share=on" in word for word in words)
    (plain,) = (word for word in words if word.startswith("local,"))
    assert {"path=/srv/in", "security_model=none", "readonly=on", "multidevs=remap"} <= {*plain.split(",")}
    assert any("virtio-9p-pci" in word and "mount_tag=ov-mount1" in word for word in words)
    (odd,) = (
        word for word in argv_of(command(sharing(replace(FAST, transport="9p")), HOST)) if word.startswith("local,")
    )
    assert f"path={ODD}".replace(",", ",,") in odd and "readonly" not in odd


def test_sshfs_needs_no_device() -> None:
    bare = replace(FAST, transport="sshfs")
    made = command(sharing(bare, PLAIN), HOST)
    assert made.helpers == [] and str(ODD) not in str(argv_of(made)) and "mount_tag=ov-mount1" in str(argv_of(made))
    (only,) = ET.fromstring(domain_xml(sharing(bare, PLAIN), EVERYTHING)).findall("devices/filesystem")
    assert only.find("target[@dir='ov-mount1']") is not None
    assert domain_xml(sharing(bare), EVERYTHING) == domain_xml(machine(), EVERYTHING)


def test_beside_the_declared_ones() -> None:
    entry = {"driver": "virtiofs", "source": str(FOLDER), "target": "own"}
    made = command(sharing(FAST, libvirt={"devices": {"filesystems": [entry]}}), HOST)
    shares = [one for one in made.helpers if isinstance(one, Share)]
    assert [(one.source, one.login) for one in shares] == [(FOLDER, None), (ODD, 1000)]

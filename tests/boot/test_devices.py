"""What the ``libvirt:`` block declares is seen by a guest of the backend qemu, which is found on a bridge of this host.

As root, for QEMU's old virtiofsd and the bridge. Few guests for much: a boot takes a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import backend
from ovtasks.host.paths import data_home
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import load
from tests.boot.network import SECONDS, Project, look_at_network
from tests.support.bridges import allowed, bridge, dhcp
from tests.support.demo import Demo
from tests.support.processes import left
from tests.support.programs import attempt
from tests.support.workbench import OV

pytestmark = pytest.mark.boot
DEVICES: dict[str, Any] = {
    "iothreads": 1,
    "sysinfo": {"system": {"manufacturer": "Some, Maker", "serial": "S-1"}},
    "devices": {
        "disks": [
            {"source": {"file": "${vm.project}/extra.img"}, "serial": "EXTRA1", "driver": {"iothread": 1}},
            {
                "source": {"file": "${vm.project}/other.img"},
                "target": {"bus": "scsi"},
                "serial": "EXTRA2",
                "readonly": True,
            },
        ],
        "interfaces": [{"mac": "52:54:00:aa:bb:cc"}],
        "filesystems": [{"driver": "virtiofs", "source": "${vm.project}/share", "target": "shared"}],
        "graphics": [
            {"type": "vnc", "listen": {"type": "socket"}},
            {"type": "spice", "listen": {"type": "socket", "socket": "${vm.sockets}/spice.sock"}},
        ],
        "video": [{"model": "vga"}],
        "watchdog": [{"model": "i6300esb"}],
        "tpm": [{}],
        "serial": [{"type": "file", "source": {"path": "${vm.dir}/second.log"}}],
        "channels": [{"name": "org.example.0"}],
    },
}
QUESTIONS = (
    "for name in vdc sda; do lsblk -dno SERIAL,SIZE,RO /dev/$name; done | xargs; "
    "ip -br link | grep -c 52:54:00:aa:bb:cc; "
    "sudo mount -t virtiofs shared /mnt && cat /mnt/hello; echo guest | sudo tee /mnt/answer; "
    "ls /dev/tpm0 /dev/virtio-ports/org.example.0; cat /sys/bus/pci/devices/*/device | grep -c 0x25ab; "
    "cat /sys/class/dmi/id/sys_vendor; sudo cat /sys/class/dmi/id/product_serial; echo second | sudo tee /dev/ttyS1"
)
MAC = "52:54:00:0b:21:d9"


@pytest.fixture
def project(demo: Demo, tmp_path: Path) -> Iterator[Project]:
    """The base image is the demo's, so that little is left to build."""
    project = Project(tmp_path / "project", demo)
    yield project
    attempt(*OV, "-C", project.root, "vm", "destroy", "--disk", "demo", timeout=SECONDS)
    assert left(tmp_path) == []
    shutil.rmtree(project.root)


@pytest.mark.root
def test_a_guest_on_a_bridge_sees_its_devices(project: Project, tmp_path: Path) -> None:
    share = project.root / "share"
    share.mkdir()
    (share / "hello").write_text("host\n", encoding="utf-8")
    for name in ("extra.img", "other.img"):
        (project.root / name).write_bytes(bytes(64 << 20))
    with bridge() as name, allowed(name), dhcp(name, tmp_path / "dnsmasq.log"):
        project.declare(libvirt=DEVICES, network={"mode": "bridge", "bridge": name, "mac": MAC})
        made = project.ov("vm", "create", "demo")
        assert "virtiofs: memory_backing is shared" in made.stderr
        address = look_at_network(project, MAC)
        look_at_devices(project, share, address)
        project.ov("vm", "stop", "demo")


@pytest.mark.root
def test_a_command_in_a_throw_away_guest_with_folders_of_the_host(project: Project) -> None:
    """``ov vm run`` and ``mounts:`` share a boot: the command's status, what it reads and writes, and what is left."""
    folders = [project.root / "src", project.root / "a b"]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_text(f"of {folder.name}\n", encoding="utf-8")
        folder.chmod(0o755)
    project.declare(mounts=["./src:/src"])
    ask = (
        "cat /src/file '/home/demo/with blanks/file'; stat -c %u:%a /src/file; "
        "echo guest | sudo tee /src/answer; ls /src; exit 7"
    )
    said = project.ov(
        *("vm", "run", "demo", "--for", "cloud-init", "--mount", f"{folders[1]}:/home/demo/with blanks"),
        *("--", ask),
        code=7,
    )
    assert said.stdout.splitlines() == ["of src", "of a b", "0:644", "guest", "answer", "file"]
    assert "mounts /src by virtiofs, /home/demo/with blanks by virtiofs; users have the same numbers" in said.stderr
    assert (folders[0] / "answer").read_text(encoding="utf-8") == "guest\n"
    assert json.loads(project.ov("vm", "list", "-a", "--json").stdout) == []
    assert [*data_home().rglob("*-run-*")] == []


def look_at_devices(project: Project, share: Path, address: str) -> None:
    """Asked inside of the guest, and at its sockets."""
    vm = json.loads(project.ov("vm", "status", "demo", "--json").stdout)
    disks, nic, *rest = project.ov("vm", "ssh", "demo", "--", QUESTIONS).stdout.splitlines()
    assert (disks, nic) == ("EXTRA1 64M 0 EXTRA2 64M 1", "1")
    assert rest == [
        *("host", "guest", "/dev/tpm0", "/dev/virtio-ports/org.example.0", "1", "Some, Maker", "S-1", "second"),
    ]
    assert (share / "answer").read_text(encoding="utf-8") == "guest\n"
    assert (Path(vm["directory"]) / "second.log").read_bytes() == b"second\r\n"

    record = load(Folder(Path(vm["directory"])))
    assert record is not None
    width, height, pixels = picture(record.sockets / "vnc.sock")
    assert width >= 640 and height >= 400 and len(set(pixels)) > 1, "a text console is not of one colour"
    assert spice_answers(record.sockets / "spice.sock")
    assert address in backend("qemu").addresses(record.handle), "the guest's agent says it"


def test_huge_pages_that_are_not_there_are_refused(project: Project) -> None:
    """Nothing is started, and the next step is named."""
    project.declare(libvirt={"memory_backing": {"hugepages": {}}})
    said = project.ov("vm", "create", "demo", code=2).stderr
    assert "libvirt.memory_backing" in said and "sysctl vm.nr_hugepages" in said
    assert json.loads(project.ov("vm", "list", "-a", "--json").stdout)[0]["state"] == "stopped"


def spice_answers(path: Path) -> bool:
    """Whether a SPICE server takes a link of the main channel: its reply begins with its magic and has no error.

    Format: spice-protocol's documentation, "Channel link establishment".
    """
    link = struct.pack("<IBBIII", 0, 1, 0, 0, 0, 18)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60.0)
        client.connect(os.fspath(path))
        client.sendall(struct.pack("<4sIII", b"REDQ", 2, 2, len(link)) + link)
        reply = client.makefile("rb").read(20)
    magic, _, _, _, error = struct.unpack("<4sIIII", reply)
    return bool(magic == b"REDQ" and error == 0)


def picture(path: Path) -> tuple[int, int, bytes]:
    """What is on the screen: width, height and the first rectangle's pixels, by RFB 3.8 (RFC 6143)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60.0)
        client.connect(os.fspath(path))
        stream = client.makefile("rb")
        client.sendall(stream.read(12))
        assert stream.read(stream.read(1)[0]) == b"\1", "no password: only the VM's owner reaches the socket"
        client.sendall(b"\1")
        assert stream.read(4) == bytes(4)
        client.sendall(b"\1")
        width, height, bits, *_, name = struct.unpack(">HHB15xI", stream.read(24))
        stream.read(name)
        client.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        assert stream.read(4)[:1] == b"\0"
        _, _, across, down, encoding = struct.unpack(">HHHHi", stream.read(12))
        assert encoding == 0
        return width, height, stream.read(across * down * bits // 8)

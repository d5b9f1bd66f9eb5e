"""What the ``libvirt:`` block declares is seen by a guest of the backend qemu; as root, for QEMU's old virtiofsd."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import backend
from ovtasks.host.run import run
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import load
from tests.support.demo import Demo
from tests.support.processes import left
from tests.support.qemu import BOOT_DEADLINE, free_port
from tests.support.workbench import OV, Workbench

pytestmark = pytest.mark.boot
UDP = 5353
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
SERVER = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5353)); "
    "data, peer = s.recvfrom(99); s.sendto(data[::-1], peer)"
)


@pytest.fixture
def bench(demo: Demo, tmp_path: Path) -> Iterator[Workbench]:
    """The base image is the demo's, so that little is left to build."""
    root = tmp_path / "project"
    (root / "output").mkdir(parents=True)
    run(["cp", "-al", demo.project / "output/.images", root / "output"])
    text = (demo.project / "vms.yml").read_text(encoding="utf-8")
    forwards = f'    network: {{port_forwards: ["{free_port()}:{UDP}/udp"]}}\n'
    more = f"    backend: qemu\n{forwards}    libvirt: {json.dumps(DEVICES)}\n"
    text, count = re.subn(r"(?m)^    disk_size: 2G$", "    disk_size: 2G\n" + more.rstrip("\n"), text, count=1)
    assert count == 1
    (root / "vms.yml").write_text(text, encoding="utf-8")
    bench = Workbench(root)
    yield bench
    bench.ov("vm", "destroy", "--disk", "demo", code=None)
    assert left(tmp_path) == []
    shutil.rmtree(root)


def test_a_guest_sees_its_devices(bench: Workbench) -> None:
    share = bench.root / "share"
    share.mkdir()
    (share / "hello").write_text("host\n", encoding="utf-8")
    for name in ("extra.img", "other.img"):
        (bench.root / name).write_bytes(bytes(64 << 20))
    made = bench.ov("vm", "create", "demo")
    assert "virtiofs: memory_backing is shared" in made.stderr
    bench.ov("vm", "wait", "demo")
    vm = json.loads(bench.ov("vm", "status", "demo", "--json").stdout)
    disks, nic, *rest = bench.ov("vm", "ssh", "demo", "--", QUESTIONS).stdout.splitlines()
    assert (disks, nic) == ("EXTRA1 64M 0 EXTRA2 64M 1", "1")
    assert rest == [
        *("host", "guest", "/dev/tpm0", "/dev/virtio-ports/org.example.0", "1", "Some, Maker", "S-1", "second"),
    ]
    assert (share / "answer").read_text(encoding="utf-8") == "guest\n"
    assert (Path(vm["directory"]) / "second.log").read_bytes() == b"second\r\n"

    assert echo(bench) == b"gnip"
    record = load(Folder(Path(vm["directory"])))
    assert record is not None
    width, height, pixels = picture(record.sockets / "vnc.sock")
    assert width >= 640 and height >= 400 and len(set(pixels)) > 1, "a text console is not of one colour"
    assert spice_answers(record.sockets / "spice.sock")
    assert "10.0.2.15" in backend("qemu").addresses(record.handle), "the guest's agent says it"
    bench.ov("vm", "stop", "demo")


def test_huge_pages_that_are_not_there_are_refused(bench: Workbench) -> None:
    """Nothing is started, and the next step is named."""
    text = (bench.root / "vms.yml").read_text(encoding="utf-8")
    block = json.dumps({"memory_backing": {"hugepages": {}}})
    (bench.root / "vms.yml").write_text(text.replace(json.dumps(DEVICES), block), encoding="utf-8")
    said = bench.ov("vm", "create", "demo", code=2).stderr
    assert "libvirt.memory_backing" in said and "sysctl vm.nr_hugepages" in said
    assert json.loads(bench.ov("vm", "list", "-a", "--json").stdout)[0]["state"] == "stopped"


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


def echo(bench: Workbench) -> bytes:
    """What the guest answers to a datagram through the forward."""
    text = (bench.root / "vms.yml").read_text(encoding="utf-8")
    port = int(re.findall(rf'"(\d+):{UDP}/udp"', text)[0])
    server = bench.start([*OV, "vm", "ssh", "demo", "--", f'python3 -c "{SERVER}"'])
    end = time.monotonic() + BOOT_DEADLINE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        while time.monotonic() < end:
            client.sendto(b"ping", ("127.0.0.1", port))
            with contextlib.suppress(TimeoutError):
                answer = client.recv(99)
                server.communicate(timeout=BOOT_DEADLINE)
                return answer
    raise AssertionError("no answer")


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

"""The ``libvirt:`` block from the file to a running VM, with a real session daemon, as an ordinary user."""

from __future__ import annotations

import os
import stat
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ovtasks.host.run import run
from tests.backends.libvirt.test_definition import Project, project
from tests.support.qemu import free_port

__all__ = ["project"]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]


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


EVERYTHING: dict[str, Any] = {
    "iothreads": 1,
    "cputune": {"vcpupin": [{"vcpu": 0, "cpuset": 0}], "emulatorpin": {"cpuset": 0}},
    "memory_backing": {"source": "memfd", "access": "shared", "allocation": "ondemand"},
    "features": {"pae": True, "vmport": False, "pmu": "off"},
    "cpu": {
        "model": "qemu64",
        "topology": {"cores": 2},
        "numa": [{"cpus": 0, "memory": "64M"}, {"cpus": 1, "memory": 64, "unit": "MiB"}],
    },
    "clock": {"offset": "variable", "basis": "utc", "adjustment": -60, "timers": [{"name": "hpet", "present": "no"}]},
    "sysinfo": {"bios": {"vendor": "me"}, "system": {"serial": "S-1"}, "baseboard": [{"product": "b"}]},
    "devices": {
        "controllers": [{"type": "pci", "model": "pcie-root-port"}, {"type": "virtio-serial", "ports": 31}],
        "usb": [{"model": "qemu-xhci", "ports": 8}],
        "disks": [
            {"source": {"file": "${vm.project}/b.qcow2"}, "driver": {"iothread": 1, "discard": "unmap"}, "serial": "B"},
            {"source": {"file": "${vm.project}/c.img"}, "target": {"bus": "scsi"}, "readonly": True},
            {"source": {"file": "${vm.project}/d.img"}, "target": {"bus": "usb"}, "iotune": {"total_iops_sec": 99}},
            {"source": {"file": "${vm.project}/c.img"}, "device": "cdrom"},
            {"device": "floppy"},
        ],
        "filesystems": [{"source": "${vm.project}", "target": "project", "readonly": True}],
        "serial": [{"type": "file", "source": {"path": "${vm.dir}/second.log"}}],
        "console": [{}],
        "parallel": [{"type": "null"}],
        "channels": [{"name": "org.example.0"}],
        "inputs": [{"type": "tablet", "bus": "usb"}, {"type": "keyboard", "bus": "virtio"}],
        "graphics": [{"type": "vnc", "listen": {"type": "socket"}, "keymap": "de"}],
        "video": [{"model": "virtio", "heads": 1}],
        "audio": [{}],
        "sound": [{"model": "ich9", "codecs": [{"type": "duplex"}], "audio": 1}],
        "tpm": [{"backend": {"version": "2.0"}}],
        "watchdog": [{"model": "i6300esb", "action": "poweroff"}],
        "rng": [{"backend": "builtin", "rate": {"bytes": 1024, "period": 1000}}],
        "memballoon": {"autodeflate": True, "stats": {"period": 10}},
        "panic": [{"model": "isa"}],
        "memory": [{"model": "dimm", "target": {"size": "128M"}}],
        "shmem": [{"name": f"ov-test-{os.getpid()}", "size": "4M"}],
        "iommu": {"model": "intel", "driver": {"intremap": "off", "caching_mode": "on"}},
    },
}


def test_qemu_takes_everything_at_once(project: Project) -> None:
    for name in ("c.img", "d.img"):
        (project.root / name).write_bytes(bytes(1 << 20))
    run(["qemu-img", "create", "-q", "-f", "qcow2", project.root / "b.qcow2", "1M"])
    project.user.owned(project.root)
    cards = [{"model": "e1000"}, {"port_forwards": [{"start": free_port(), "to": 80}]}]
    libvirt = {**EVERYTHING, "devices": {**EVERYTHING["devices"], "interfaces": cards}}
    project.declare(cpus=2, accel="tcg", libvirt=libvirt)
    made = project.ov("vm", "create", "web")
    assert "SCSI disks: a virtio-scsi controller added" in made.stdout + made.stderr
    assert project.virsh("domstate", "ov-web").strip() == "running"
    devices = ET.fromstring(project.virsh("dumpxml", "ov-web")).find("devices")
    assert devices is not None
    assert [t.get("dev") for t in devices.findall("disk/target")] == ["vda", "vdb", "vdc", "sda", "sdb", "sdc", "fda"]
    for kind in ("filesystem", "sound", "tpm", "watchdog", "rng", "memballoon", "panic", "shmem", "iommu", "parallel"):
        assert devices.find(kind) is not None, kind
    project.ov("vm", "diff", "web")  # libvirt still has what we rendered

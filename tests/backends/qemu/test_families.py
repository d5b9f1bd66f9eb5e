"""Each family of the ``libvirt:`` block is taken by the QEMU that is installed: it makes the machine and answers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import DisplayPlace, VmState
from ovtasks.backends.qemu import process
from ovtasks.backends.qemu.program import program
from ovtasks.backends.qemu.qmp import connect, mapping
from ovtasks.errors import InputError, OvError
from ovtasks.host.run import run
from ovtasks.machine.blocks import features
from ovtasks.machine.qemu.names import QMP_SOCKET
from ovtasks.values.jsonvalue import Json
from tests.backends.qemu.conftest import Vm
from tests.support.pace import until
from tests.support.qemu import free_port

FAMILIES: dict[str, dict[str, Any]] = {
    "processor": {
        "cpu": {
            "mode": "custom",
            "model": "Nehalem",
            "check": "partial",
            "topology": {"sockets": 1, "cores": 2, "threads": 2},
            "features": [{"name": "aes", "policy": "require"}, {"name": "vmx", "policy": "disable"}],
        },
        "features": {"acpi": True, "vmport": False, "pae": True, "pmu": False},
        "clock": {
            "offset": "absolute",
            "start": 1700000000,
            "timers": [
                {"name": "rtc", "track": "guest", "tickpolicy": "catchup"},
                {"name": "hpet", "present": False},
                {"name": "pit", "present": True},
            ],
        },
        "sysinfo": {
            "bios": {"vendor": "Some, vendor", "version": "1", "date": "01/02/2024", "release": "4.2"},
            "system": {"manufacturer": "M", "product": "P", "serial": "S", "sku": "K", "family": "F"},
            "baseboard": [{"manufacturer": "M", "asset": "A", "location": "L"}],
            "chassis": {"manufacturer": "M", "version": "2", "sku": "K"},
            "oem_strings": ["one, two"],
        },
    },
    "memory": {
        "memory_backing": {"source": "file", "access": "shared", "allocation": "immediate", "discard": True},
        "numatune": {"memory": {"mode": "preferred", "nodeset": "0"}},
        "cpu": {"numa": [{"cpus": "0,2-3", "memory": "40M"}, {"cpus": "1", "memory": "24M", "memaccess": "private"}]},
    },
    "display": {
        "devices": {
            "graphics": [
                {"type": "spice", "listen": {"type": "socket"}, "image": "lz", "clipboard": False, "keymap": "de"},
                {"type": "vnc", "listen": "127.0.0.1", "share_policy": "force-shared", "audio": 1},
            ],
            "video": [
                {"model": "qxl", "ram": 65536, "vgamem": 16384, "heads": 1},
                {"model": "virtio", "heads": 2, "resolution": {"x": 1024, "y": 768}},
            ],
            "audio": [
                {"id": 1, "type": "spice"},
                {"id": 2, "type": "file", "path": "${vm.dir}/sound.wav"},
                {"id": 3, "type": "none"},
            ],
            "sound": [
                {"model": "ich9", "codecs": [{"type": "micro"}, {"type": "output"}], "audio": 2},
                {"model": "ac97"},
                {"model": "usb", "audio": 3},
            ],
            "channels": [{"type": "spicevmc"}, {"type": "spiceport", "name": "org.a.0", "channel": "org.a.b"}],
            "redirdev": [{}, {"boot": 3}],
            "smartcard": [{"mode": "passthrough", "type": "spicevmc"}],
            "inputs": [{"type": "tablet", "bus": "usb"}, {"type": "keyboard", "bus": "virtio"}, {"type": "mouse"}],
            "hub": [{"type": "usb"}],
        }
    },
    "characters": {
        "devices": {
            "serial": [
                {},
                {
                    "type": "tcp",
                    "source": {"mode": "bind", "host": "127.0.0.1", "service": "PORT"},
                    "protocol": "telnet",
                },
                {"type": "file", "source": {"path": "${vm.dir}/a, b.txt", "append": "on"}, "log": "${vm.dir}/log"},
                {
                    "type": "unix",
                    "target": {"type": "usb-serial"},
                    "source": {"mode": "bind", "path": "${vm.sockets}/channel-x.sock"},
                },
                {"type": "null", "target": {"type": "pci-serial"}},
            ],
            "console": [{"type": "pty"}, {"type": "udp", "source": {"host": "127.0.0.1", "service": "PORT"}}],
            "parallel": [{"type": "null"}],
            "channels": [
                {"name": "org.example.0"},
                {"name": "org.example.1", "path": "${vm.sockets}/channel-{{.VmName}}.sock"},
                {"type": "pty", "name": "org.example.2"},
                {"type": "qemu-vdagent", "clipboard": True, "mouse": "client"},
            ],
        }
    },
    "others": {
        "iothreads": 2,
        "devices": {
            "rng": [{"backend": "builtin", "driver": {"packed": True}}, {"rate": {"bytes": 1024, "period": 1000}}],
            "watchdog": [{"model": "i6300esb", "action": "poweroff"}, {"model": "itco", "action": "poweroff"}],
            "memballoon": {"model": "virtio", "free_page_reporting": True, "stats": {"period": 5}},
            "shmem": [{"name": "NAME", "size": "1M", "role": "peer"}],
            "iommu": {"model": "intel", "driver": {"intremap": True, "caching_mode": True, "aw_bits": 48}},
            "panic": [{"model": "isa", "address": {"iobase": "0x505"}}, {"model": "pvpanic"}],
            "crypto": [{"backend": {"model": "builtin"}}],
            "usb": [{"model": "ich9-ehci1"}, {"model": "qemu-xhci", "ports": 8}],
            "interfaces": [
                {"model": "e1000", "port_forwards": [{"start": "PORT", "to": 80}]},
                {"driver": {"rx_queue_size": 512, "guest": {"csum": False}}, "boot": 4},
            ],
        },
    },
}


def filled(value: Any, name: str) -> Any:
    """``PORT`` becomes a free one, ``NAME`` one that nobody else has."""
    if isinstance(value, Mapping):
        return {key: filled(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, name) for item in value]
    return {"PORT": str(free_port()), "NAME": name}.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("family", FAMILIES)
def test_qemu_takes_it(family: str, vm: Vm) -> None:
    name = f"ov-test-{os.getpid()}"
    vm.start(libvirt=filled(FAMILIES[family], name), ram=64 << 20, cpus=4)
    assert vm.status().state is VmState.RUNNING
    if family == "others":
        Path("/dev/shm", name).unlink()


DISKS: tuple[dict[str, Any], ...] = (
    {"target": {"dev": "vdc"}, "driver": {"cache": "none", "io": "native", "discard": "unmap"}, "serial": "A1"},
    {"driver": {"type": "raw", "queues": 2, "iothread": 1, "error_policy": "stop"}, "iotune": {"total_iops_sec": 50}},
    {"target": {"bus": "scsi"}, "wwn": "5000c50015ea71ac", "vendor": "V", "product": "P", "shareable": True},
    {"target": {"bus": "scsi"}, "device": "cdrom"},
    {"target": {"bus": "sata", "rotation_rate": 1}, "driver": {"detect_zeroes": "unmap", "discard": "unmap"}},
    {"device": "cdrom", "boot": 1},
    {"target": {"bus": "usb", "removable": True}, "readonly": True},
    {"target": {"bus": "nvme"}, "serial": "N1", "blockio": {"logical_block_size": 4096, "physical_block_size": 4096}},
    {"device": "floppy"},
    {
        "target": {"dev": "sdb", "bus": "scsi"},
        "driver": {"copy_on_read": True},
        "iotune": {"group_name": "slow", "total_iops_sec": 9},
    },
)


@pytest.mark.parametrize("kind", ["q35", "pc"])
def test_disks(kind: str, vm: Vm) -> None:
    """Each bus, in one machine; the guest's own disk comes behind those that have an order."""
    disks = [dict(disk) for disk in DISKS]
    for number, disk in enumerate(disks):
        path = vm.handle.directory / f"extra, {number}.img"
        path.write_bytes(bytes(1 << 20))
        disk["source"] = {"file": str(path)}
    del disks[5]["source"]  # an empty drive
    if kind == "pc":
        disks[4]["target"] = {"dev": "hda", "bus": "ide"}
    controllers = [{"type": "scsi", "driver": {"queues": 2, "iothread": 1}}, {"type": "scsi", "index": 1}]
    devices = {"disks": disks, "controllers": controllers}
    pid = vm.start(libvirt={"iothreads": 1, "devices": devices}, machine=kind)
    with connect(vm.handle.sockets / QMP_SOCKET, pid) as qmp:
        answer = qmp.execute("query-block")
        order = qmp.execute("qom-get", path="/machine/peripheral/disk0", property="bootindex")
    assert isinstance(answer, list)
    found = [str(mapping(item).get("qdev")) for item in answer]
    assert len([name for name in found if "-device" in name]) == len(disks) and order == 2


def test_a_network_block_device(vm: Vm) -> None:
    image = vm.handle.directory / "export.img"
    image.write_bytes(b"nbd".ljust(1 << 20, b"\0"))
    path, pid_file = vm.handle.sockets / "nbd", vm.handle.directory / "nbd.pid"
    run(["qemu-nbd", "--fork", f"--pid-file={pid_file}", "-f", "raw", "-k", path, "-x", "data", image])
    server = int(pid_file.read_text())
    try:
        source = {"protocol": "nbd", "name": "data", "hosts": [{"transport": "unix", "socket": str(path)}]}
        vm.start(libvirt={"devices": {"disks": [{"type": "network", "source": source}]}})
        assert vm.status().state is VmState.RUNNING
        vm.backend.power_off(vm.handle)  # its only client: it ends
        until("qemu-nbd ends", lambda: not Path(f"/proc/{server}").exists())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
        path.unlink(missing_ok=True)


def shared(vm: Vm, **more: Json) -> dict[str, Any]:
    folder = vm.handle.directory / "share"
    folder.mkdir()
    entry = {"driver": "virtiofs", "source": str(folder), "target": "share", **more}
    return {"devices": {"filesystems": [entry]}}


@pytest.mark.root  # the virtiofsd of QEMU 7.2 cannot do without
def test_virtiofs(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server ends with the VM, however that ends."""
    monkeypatch.setattr("ovtasks.backends.qemu.helpers.GRACE", 60.0)
    vm.handle = _renamed(vm)
    pid = vm.start(libvirt=shared(vm))
    pid_file = vm.handle.sockets / f"fs0.sock{process.HELPER_SUFFIX}"
    server = process.find(pid_file)
    assert server is not None and server.pid != pid
    os.kill(pid, 9)
    until("virtiofsd ends", lambda: process.find(pid_file) is None)
    vm.start()
    vm.backend.power_off(vm.handle)
    assert process.find(pid_file) is None and not list(vm.handle.sockets.iterdir())


def _renamed(vm: Vm) -> Any:
    """QEMU's old virtiofsd takes no folder with a comma in its name."""
    from dataclasses import replace

    plain = vm.handle.directory.with_name("plain")
    vm.handle.directory.rename(plain)
    vm.machine = replace(vm.machine, disk=plain / "disk.qcow2", serial_log=plain / "serial.log")
    return replace(vm.handle, directory=plain)


def test_virtiofs_without_its_folder(vm: Vm) -> None:
    libvirt = shared(vm)
    (vm.handle.directory / "share").rmdir()
    with pytest.raises(OvError, match="share is missing, which the VM shares") as caught:
        vm.start(libvirt=libvirt)
    assert str(caught.value.hint).startswith("mkdir -p")


def test_virtiofs_with_a_server_that_fails(vm: Vm) -> None:
    with pytest.raises(OvError, match=r"virtiofsd for .* ended with status 1"):
        vm.start(libvirt=shared(vm, binary={"path": "/bin/false"}))


def test_9p(vm: Vm) -> None:
    vm.start(libvirt=shared(vm, driver="9p", accessmode="mapped", readonly=True, multidevs="remap", fmode="0640"))
    assert vm.status().state is VmState.RUNNING


def test_passwords_stand_in_files_only(vm: Vm) -> None:
    graphics: list[Json] = [
        {"type": "spice", "passwd": "sesame-1"},
        {"type": "vnc", "passwd": "sesame-2", "listen": {"type": "socket"}},
    ]
    pid = vm.start(libvirt={"devices": {"graphics": graphics}})
    said = Path(f"/proc/{pid}/cmdline").read_bytes() + (vm.handle.directory / "argv.json").read_bytes()
    assert b"sesame" not in said
    for name, text in (("spice", "sesame-1"), ("vnc", "sesame-2")):
        file = vm.handle.sockets / f"{name}.secret"
        assert file.read_text() == text and file.stat().st_mode & 0o777 == 0o600
    assert vm.backend.displays(vm.handle) == (
        DisplayPlace(vm.handle.sockets / "spice.sock", password="sesame-1"),
        DisplayPlace(vm.handle.sockets / "vnc.sock", password="sesame-2", kind="vnc"),
    )
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(vm.handle.sockets / "vnc.sock"))
        version = client.recv(12)
        client.sendall(version)
        types = client.recv(2)
    assert version.startswith(b"RFB 003.") and types == b"\x01\x02", "RFC 6143: the one way in is VNC authentication"


def test_spice_answers_on_its_socket(vm: Vm) -> None:
    vm.start(libvirt={"devices": {"graphics": [{"type": "spice"}]}})
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(vm.handle.sockets / "spice.sock"))
        # SpiceLinkHeader and SpiceLinkMess of the main channel, without capabilities (spice protocol, "link")
        mess = struct.pack("<IBBIII", 0, 1, 0, 0, 0, 18)
        client.sendall(b"REDQ" + struct.pack("<III", 2, 2, len(mess)) + mess)
        assert client.recv(4) == b"REDQ"


def test_threads_stay_on_their_processors(vm: Vm) -> None:
    here = min(os.sched_getaffinity(0))
    tune = {"vcpupin": [{"vcpu": 1, "cpuset": str(here)}], "iothreadpin": [{"iothread": 1, "cpuset": str(here)}]}
    pid = vm.start(libvirt={"iothreads": 1, "cputune": tune}, cpus=2)
    with connect(vm.handle.sockets / QMP_SOCKET, pid) as qmp:
        cpus, threads = qmp.execute("query-cpus-fast"), qmp.execute("query-iothreads")
    assert isinstance(cpus, list) and isinstance(threads, list)
    pinned = [mapping(cpus[1]), mapping(threads[0])]
    assert [os.sched_getaffinity(int(str(item["thread-id"]))) for item in pinned] == [{here}, {here}]


def test_processors_that_the_host_has_not(vm: Vm) -> None:
    with pytest.raises(InputError, match="processor 0 cannot run on 4000") as caught:
        vm.start(libvirt={"cputune": {"vcpupin": [{"vcpu": 0, "cpuset": "4000"}]}})
    assert "this host's processors" in str(caught.value.hint)
    assert vm.status().state is not VmState.RUNNING


def test_names_of_the_processors_properties() -> None:
    """Those that this QEMU's processor has; what is newer than it is none of them."""
    said = run([program("x86_64"), "-device", "max-x86_64-cpu,help"]).stdout
    known = {line.split("=")[0].strip() for line in said.splitlines()}
    names = {*features.HYPERV.values(), *features.KVM.values(), *features.OTHERS}
    assert names <= known, names - known


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"cpu": {"features": [{"name": "no-such"}]}}, "libvirt.cpu.features: .*no-such"),
    ({"memory_backing": {"hugepages": {"size": "4M"}}}, "libvirt.memory_backing: .*memfd"),
    ({"devices": {"filesystems": [{"source": "/no/such", "target": "t"}]}}, "/no/such cannot be opened"),
    ({"devices": {"smartcard": [{"mode": "host-certificates", "certificates": ["a", "b", "c"],
                                 "database": "/no/such"}]}}, "libvirt.devices.smartcard"),
    ({"devices": {"disks": [{"source": {"file": "/no/such.img"}}]}}, "/no/such.img is missing"),
)  # fmt: skip


@pytest.mark.parametrize(("libvirt", "message"), WRONG)
def test_what_qemu_says_names_the_field(libvirt: dict[str, Any], message: str, vm: Vm) -> None:
    with pytest.raises(OvError, match=message) as caught:
        vm.start(libvirt=libvirt)
    assert caught.value.hint

"""The command line of a QEMU: what stands in it, and that QEMU takes it (see also tests/backends/qemu)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.machine import Boot, Machine, Nic
from ovtasks.machine.qemu.argv import argv
from ovtasks.machine.qemu.command import ForkingHelper, QemuFeatures
from ovtasks.machine.qemu.families import command
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward
from tests.machine.hosts import EVERYTHING
from tests.support.machines import DESKTOP, FORWARDS, MAC, OVMF, machine, shapes

DEVICES = """virtio-net-pci e1000 e1000e virtio-blk-pci virtio-serial-pci virtserialport virtio-rng-pci virtio-vga
virtio-gpu-pci VGA qxl-vga qxl cirrus-vga bochs-display ramfb virtio-balloon-pci tpm-crb tpm-tis tpm-tis-device
virtio-keyboard-pci virtio-tablet-pci vhost-vsock-pci usb-redir qemu-xhci usb-ccid ccid-card-passthru
vhost-user-fs-pci ich9-ahci ide-cd virtio-scsi-pci scsi-hd"""
HOST = QemuFeatures("/usr/bin/qemu-system-x86_64", (7, 2), True, True, True, False, frozenset(DEVICES.split()))


def values(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def with_devices(**devices: Json) -> Machine:
    return machine(libvirt={"devices": devices})


def test_vsock() -> None:
    words = argv(machine(cid=70000), HOST)
    assert "vhost-vsock-pci,id=vsock0,addr=0x7,guest-cid=70000" in values(words, "-device")
    assert "type=11,value=io.systemd.credential:vmm.notify_socket=vsock-stream:2:70000" in values(words, "-smbios")
    assert not [word for word in argv(machine(), HOST) if "vsock" in word]
    with pytest.raises(InputError, match=r"libvirt.devices.vsock: this host's guests cannot have vsock"):
        argv(with_devices(vsock={"cid": {"address": 4000}}), HOST)


def test_golden() -> None:
    words = argv(machine(Path("/d/a, b"), seed=Path("/d/seed.iso"), nic=Nic(MAC, forwards=FORWARDS[:1])), HOST)
    sockets = "/run/user/1000/ov/web"
    listen, file = "server=on,wait=off", "file.driver=file,file.filename="
    assert words == [
        "/usr/bin/qemu-system-x86_64",
        *("-name", "guest=ov-web,debug-threads=on", "-uuid", "3f8a2c1e-6f1d-4b52-9f0e-0d8f6a7c1b2d"),
        *("-nodefaults", "-no-user-config", "-msg", "timestamp=on"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-machine", "q35", "-accel", "tcg,tb-size=256", "-cpu", "max,la57=off", "-smp", "2", "-m", "size=256M"),
        *("-rtc", "base=utc"),
        *("-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:20022-:22"),
        *("-device", f"virtio-net-pci,id=nic0,netdev=net0,mac={MAC},romfile=,addr=0x2"),
        "-blockdev",
        f"driver=qcow2,node-name=disk,discard=unmap,detect-zeroes=unmap,{file}/d/a,, b/disk.qcow2",
        *("-device", "virtio-blk-pci,id=disk0,drive=disk,bootindex=1,addr=0x3"),
        *("-blockdev", f"driver=raw,node-name=seed,read-only=on,{file}/d/seed.iso"),
        *("-device", "virtio-blk-pci,id=seed0,drive=seed,addr=0x4"),
        "-chardev",
        f"socket,id=serial0,path={sockets}/console.sock,{listen},logfile=/d/a,, b/serial.log,logappend=on",
        *("-serial", "chardev:serial0", "-device", "virtio-serial-pci,id=channels,addr=0x5"),
        *("-chardev", f"socket,id=agent0,path={sockets}/agent.sock,{listen}"),
        *("-device", "virtserialport,id=agent,chardev=agent0,name=org.qemu.guest_agent.0"),
        *("-chardev", f"socket,id=qmp,path={sockets}/qmp.sock,{listen}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=status,path={sockets}/status.sock,{listen}", "-mon", "chardev=status,mode=control"),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,id=rng0-device,rng=rng0,addr=0x6"),
        *("-display", "none"),
    ]


def test_forwards() -> None:
    (netdev,) = values(argv(machine(nic=Nic(MAC, forwards=FORWARDS)), HOST), "-netdev")
    assert netdev.split(",hostfwd=") == [
        "user,id=net0",
        "tcp:127.0.0.1:20022-:22",
        "tcp:127.0.0.1:8080-:80",
        "udp:127.0.0.1:5353-:53",
        "tcp:0.0.0.0:8443-:443",
    ]


@pytest.mark.parametrize(
    ("nic", "message"),
    [
        (Nic(MAC, mode="nat"), "network.mode: nat is a network of libvirt"),
        (Nic(MAC, mode="network", network="lab"), "network.mode: network is a network of libvirt"),
        (Nic(MAC, mode="direct", dev="eth0"), "network.mode: direct is libvirt's way to a card of the host"),
        (Nic(MAC, forwards=(PortForward(1, 2, address="::1"),)), "cannot listen on ::1"),
        (Nic(MAC, mode="bridge", forwards=FORWARDS), "a bridged VM has an address of its own"),
        (Nic(MAC, model="ne3k"), "this QEMU has no device ne3k"),
    ],
)
def test_networks_that_cannot_be(nic: Nic, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        argv(machine(nic=nic), HOST)
    assert caught.value.hint


def test_a_qemu_without_user_networking() -> None:
    with pytest.raises(InputError, match="has no user networking"):
        argv(machine(), replace(HOST, user_network=False))


def test_bridge_may_start_its_helper() -> None:
    words = argv(machine(nic=Nic(MAC, mode="bridge", bridge="br7", model="virtio")), HOST)
    assert values(words, "-netdev") == ["bridge,id=net0,br=br7"]
    assert "-sandbox" not in words
    assert values(words, "-device")[0].startswith("virtio-net-pci,")


def test_secure_boot_protects_its_variables() -> None:
    words = argv(shapes()["files-secure"], HOST)
    assert values(words, "-machine") == ["q35,smm=on,pflash0=firmware,pflash1=nvram"]
    assert values(words, "-global") == [
        "driver=cfi.pflash01,property=secure,value=on",
        "driver=ICH9-LPC,property=disable_s3,value=1",
    ]
    firmware, nvram, *_ = values(words, "-blockdev")
    assert firmware.endswith(f"read-only=on,file.driver=file,file.filename={OVMF}/OVMF_CODE_4M.ms.fd")
    assert "read-only" not in nvram
    with pytest.raises(InputError, match="system management mode"):
        argv(replace(shapes()["files-secure"], machine="pc"), HOST)


def test_firmware_without_files() -> None:
    with pytest.raises(InputError, match="no files are known for uefi-insecure"):
        argv(machine(boot=Boot(Firmware.UEFI_INSECURE, auto=True)), HOST)


def test_what_is_secret_stands_in_files() -> None:
    words = argv(machine(oem_strings=("a=b, c",), credentials={"tmpfiles.extra": Path("/d/a,b")}), HOST)
    assert values(words, "-smbios") == ["type=11,value=a=b,, c"]
    assert values(words, "-fw_cfg") == ["name=opt/io.systemd.credentials/tmpfiles.extra,file=/d/a,,b"]


def test_other_architecture() -> None:
    words = argv(machine(arch="aarch64", machine="virt", libvirt={"devices": {"graphics": [{"type": "vnc"}]}}), HOST)
    assert values(words, "-machine") == ["virt,gic-version=max"]
    assert values(words, "-cpu") == ["max"]
    models = [value.partition(",")[0] for value in values(words, "-device")]
    assert models[-3:] == ["virtio-gpu-pci", "virtio-keyboard-pci", "virtio-tablet-pci"]


def test_cpu_and_features() -> None:
    libvirt: dict[str, Json] = {
        "cpu": {"mode": "custom", "model": "qemu64"},
        "features": {"vmport": False, "pmu": "on"},
    }
    words = argv(machine(libvirt=libvirt), HOST)
    assert values(words, "-cpu") == ["qemu64,pmu=on"]
    assert values(words, "-machine") == ["q35,vmport=off"]
    for mode in ("host-passthrough", "host-model", "maximum"):
        assert values(argv(machine(libvirt={"cpu": {"mode": mode}}), HOST), "-cpu") == ["max,la57=off"]
    assert values(argv(machine(accel="kvm"), HOST), "-cpu") == ["host"]


def test_desktop() -> None:
    """The sample's block: SPICE with a port of its own choice is a Unix socket, because QEMU chooses none."""
    spice: dict[str, Json] = {"type": "spice", "autoport": "yes", "listen": "127.0.0.1"}
    video: dict[str, Json] = {"model": "virtio", "vram": 65536, "heads": 1, "accel3d": False}
    vnc: dict[str, Json] = {"type": "vnc", "port": 5999}
    agent: dict[str, Json] = {"type": "spicevmc"}
    desktop = with_devices(graphics=[spice, vnc], video=[video], channels=[agent, {"name": "org.example.0"}])
    words = argv(desktop, HOST)
    assert values(words, "-spice") == ["unix=on,addr=/run/user/1000/ov/web/spice.sock,disable-ticketing=on"]
    assert values(words, "-vnc") == ["127.0.0.1:99"]
    assert "virtio-vga,id=video0,max_outputs=1" in values(words, "-device")
    assert "spicevmc,id=channel0,name=vdagent" in values(words, "-chardev")
    assert any(word.startswith("socket,id=channel1,path=") for word in values(words, "-chardev"))
    assert command(desktop, HOST).spice and not command(machine(), HOST).spice
    said = "libvirt.devices.graphics[0]: QEMU chooses no port for SPICE, which listens on the socket "
    assert command(desktop, HOST).notes == [f"{said}/run/user/1000/ov/web/spice.sock"]
    assert command(with_devices(graphics=[{"type": "spice"}]), HOST).notes == []


def test_names_of_disks_mean_what_they_mean_to_libvirt() -> None:
    def disks(*names: str) -> Machine:
        listed: list[Json] = [{"source": {"file": f"/{name}"}, "target": {"dev": name}} for name in names]
        return with_devices(disks=listed)

    of = disks("vdb", "sdb")  # there is no seed that would be vdb
    devices = [word.partition(",")[0] for word in values(argv(of, HOST), "-device") if "id=disk" in word]
    root = ET.fromstring(domain_xml(of, EVERYTHING))
    targets = [target.attrib for target in root.findall("devices/disk/target")]
    assert devices == ["virtio-blk-pci", "virtio-blk-pci", "scsi-hd"]
    assert targets[1:] == [{"dev": "vdb", "bus": "virtio"}, {"dev": "sdb", "bus": "scsi"}]
    with pytest.raises(InputError, match="vdb is the VM's own disk or its seed"):
        argv(replace(of, seed=Path("/seed.iso")), HOST)


def test_a_written_address_is_found_again() -> None:
    """In lower case, as leases, the neighbour table and the guest's agent have it."""
    words = argv(with_devices(interfaces=[{"mac": "52:54:00:AB:CD:EF"}]), HOST)
    assert any("mac=52:54:00:ab:cd:ef" in word for word in values(words, "-device"))


@pytest.mark.parametrize(
    "devices",
    [
        {"channels": [{"type": "spicevmc"}]},
        {"redirdev": [{}]},
        {"smartcard": [{"mode": "passthrough", "type": "spicevmc"}]},
        {"audio": [{"type": "spice"}]},
    ],
)
def test_what_goes_through_spice_gets_a_server(devices: dict[str, Json]) -> None:
    made = command(with_devices(**devices), HOST)
    assert made.spice and values(made.words, "-spice")
    assert made.notes == ["spicevmc: SPICE graphics added, on the socket /run/user/1000/ov/web/spice.sock"]


def test_what_is_added_is_said() -> None:
    share: dict[str, Json] = {"driver": "virtiofs", "source": "/srv", "target": "t"}
    disk: dict[str, Json] = {"source": {"file": "/x.iso"}, "device": "cdrom", "boot": 3}
    made = command(with_devices(filesystems=[share], disks=[disk]), HOST)
    assert made.notes == [
        "virtiofs: memory_backing is shared, memfd",
        "boot order by devices: the VM's own disk is number 4",
    ]
    assert command(machine(), HOST).notes == []


def test_tpm() -> None:
    tpm: dict[str, Json] = {"model": "tpm-tis", "backend": {"type": "emulator", "version": 1.2}}
    (old,), (new,) = (command(with_devices(tpm=[one]), HOST).helpers for one in (tpm, {}))
    assert isinstance(old, ForkingHelper) and isinstance(new, ForkingHelper)
    assert old.words[:2] == ("swtpm", "socket") and "--tpm2" not in old.words and new.words[2] == "--tpm2"
    assert command(machine(), HOST).helpers == []
    assert "tpm-crb,id=tpm0-device,tpmdev=tpm0" in values(argv(with_devices(tpm=[{}]), HOST), "-device")


@pytest.mark.parametrize(
    ("libvirt", "path"),
    [
        ({"features": {"hap": True}}, "libvirt.features.hap"),
        ({"features": {"apic": False}}, "libvirt.features.apic"),
        ({"features": {"kvm": {"hidden": True}}}, "libvirt.features.kvm.hidden"),
        ({"memtune": {"hard_limit": "1G"}, "iothreads": 2}, "libvirt.memtune.hard_limit"),
        ({"cputune": {"shares": 100}}, "libvirt.cputune.shares"),
        ({"seclabel": {"type": "none"}}, "libvirt.seclabel.type"),
        ({"snippets": ["<a/>"]}, "libvirt.snippets"),
        ({"cpu": {"mode": "custom"}}, "libvirt.cpu.mode"),
        ({"devices": {"sound": [{"model": "pcspk"}]}}, "libvirt.devices.sound[0].model"),
        ({"devices": {"graphics": [{"type": "spice"}, {"type": "spice"}]}}, "libvirt.devices.graphics[1].type"),
        ({"devices": {"graphics": [{"type": "vnc", "port": 22}]}}, "libvirt.devices.graphics[0].port"),
        ({"devices": {"video": [{"model": "virtio", "accel3d": True}]}}, "libvirt.devices.video[0].accel3d"),
        ({"devices": {"video": [{"model": "vga"}, {"model": "cirrus", "heads": 2}]}}, "libvirt.devices.video[1].heads"),
        ({"devices": {"rng": [{"backend": "egd"}]}}, "libvirt.devices.rng[0].type"),
        ({"devices": {"memballoon": {"model": "none", "autodeflate": True}}}, "libvirt.devices.memballoon.autodeflate"),
        ({"devices": {"tpm": [{"model": "tpm-spapr"}]}}, "libvirt.devices.tpm[0].model"),
    ],
)
def test_nothing_is_silently_ignored(libvirt: dict[str, Any], path: str) -> None:
    with pytest.raises(InputError) as caught:
        argv(machine(libvirt=libvirt), HOST)
    assert caught.value.message.startswith(path)
    assert caught.value.hint


def test_all_that_is_refused_is_named_at_once() -> None:
    with pytest.raises(InputErrors) as caught:
        argv(machine(libvirt={**DESKTOP, "seclabel": {"type": "none"}}), HOST)
    assert [error.message.partition(":")[0] for error in caught.value.errors] == [
        "libvirt.seclabel.type",
        "libvirt.features.hap",
    ]


def test_paths_too_long_for_a_socket() -> None:
    with pytest.raises(InputError, match="too long for a socket"):
        argv(machine(sockets=Path("/x" * 50)), HOST)

"""Machines in every shape that renderers get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ovtasks.machine.machine import Boot, Machine, Nic
from ovtasks.machine.xml.domain import HostFeatures
from ovtasks.machine.xml.merge import own_snippets
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward

MAC = "52:54:00:12:34:56"
FOLDER = Path("/data/ov-web")
OVMF = Path("/usr/share/OVMF")
FORWARDS = (
    PortForward(20022, 22),
    PortForward(8080, 80),
    PortForward(5353, 53, "udp"),
    PortForward(8443, 443, address="0.0.0.0"),
)
HOST = HostFeatures(
    passt=True,
    known={
        "devices/graphics/type": frozenset({"spice", "vnc"}),
        "devices/video/modelType": frozenset({"virtio", "vga", "qxl", "cirrus", "bochs", "none"}),
        "devices/tpm/backendModel": frozenset({"emulator"}),
    },
)
DESKTOP: dict[str, Json] = {
    "features": {"pae": True, "vmport": False, "pmu": "off", "hap": "on"},
    "cpu": {"mode": "custom", "model": "qemu64"},
    "devices": {
        "video": [{"model": "virtio", "vram": 65536, "heads": 1, "accel3d": False}],
        "graphics": [{"type": "spice", "autoport": "yes", "listen": "127.0.0.1"}, {"type": "vnc", "port": 5999}],
        "channels": [
            {"type": "spicevmc"},
            {"type": "unix", "name": "org.example.0"},
            {"name": "org.qemu.guest_agent.0"},
        ],
        "rng": [{"backend": "builtin"}, {"backend": "/dev/random", "rate": {"bytes": 1024, "period": 1000}}],
        "tpm": [{"model": "tpm-tis", "backend": {"type": "emulator", "version": 2.0}}],
        "memballoon": {"model": "virtio", "autodeflate": True, "stats": {"period": 10}},
    },
}

SNIPPETS = (
    "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>",
    "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
    "<watchdog model='i6300esb' action='reset'/>",
    "<cputune><shares>512</shares></cputune><blkiotune><weight>300</weight></blkiotune>",
    "<genid/><pm><suspend-to-mem enabled='no'/></pm>",
    "<sysinfo type='smbios'><bios><entry name='vendor'>ov</entry></bios></sysinfo>",
    "<description>a VM</description>",
    "<seclabel type='none'/>",
    "<qemu:commandline><qemu:arg value='-s'/><qemu:env name='A' value='B'/></qemu:commandline>",
    "<metadata><o:app xmlns:o='urn:o'/></metadata>",
)


def machine(folder: Path = FOLDER, **more: Any) -> Machine:
    plain = Machine(
        domain="ov-web",
        uuid="3f8a2c1e-6f1d-4b52-9f0e-0d8f6a7c1b2d",
        vm="web",
        project=Path("/home/me/project"),
        disk=folder / "disk.qcow2",
        serial_log=folder / "serial.log",
        sockets=Path("/run/user/1000/ov/web"),
        nic=Nic(MAC),
        ram=256 << 20,
        cpus=2,
    )
    return replace(plain, **more)


def shapes(folder: Path = FOLDER) -> dict[str, Machine]:
    """By name; their paths lie in ``folder``. None needs KVM."""
    nvram = folder / "nvram.fd"
    auto = Boot(Firmware.UEFI_INSECURE, auto=True)
    files = Boot(Firmware.UEFI_INSECURE, code=OVMF / "OVMF_CODE_4M.fd", template=OVMF / "OVMF_VARS_4M.fd", nvram=nvram)
    secure = Boot(
        *(Firmware.UEFI_SECURE, False, OVMF / "OVMF_CODE_4M.ms.fd", OVMF / "OVMF_VARS_4M.ms.fd", nvram),
        smm=True,
    )
    return {
        "plain": machine(folder),
        "forwards": machine(folder, nic=Nic(MAC, forwards=FORWARDS)),
        "e1000": machine(folder, nic=Nic(MAC, model="e1000", forwards=FORWARDS)),
        "bridge": machine(folder, nic=Nic(MAC, mode="bridge", bridge="br0", model="e1000")),
        "nat": machine(folder, nic=Nic(MAC, mode="nat")),
        "network": machine(folder, nic=Nic(MAC, mode="network", network="lab")),
        "direct": machine(folder, nic=Nic(MAC, mode="direct", dev="eth0")),
        "i440fx": machine(folder, machine="pc", nic=Nic(MAC, forwards=FORWARDS)),
        "seed": machine(folder, seed=folder / "seed.iso", oem_strings=("io.systemd.credential:a=b, c", "x")),
        "credentials": machine(folder, credentials={"tmpfiles.extra": folder / "tmpfiles", "a": folder / "a"}),
        "both": machine(folder, oem_strings=("a",), credentials={"tmpfiles.extra": folder / "tmpfiles"}),
        "auto": machine(folder, boot=auto),
        "auto-nvram": machine(folder, boot=replace(auto, nvram=nvram)),
        "auto-secure": machine(folder, boot=Boot(Firmware.UEFI_SECURE, auto=True, nvram=nvram, smm=True)),
        "files": machine(folder, boot=files),
        "files-secure": machine(folder, boot=secure),
        "instance": machine(
            folder, domain="ov-web-dev", instance="dev", project=Path('/p/"a" & <b>'), disposable=True, lifecycle="dev"
        ),
        "vsock": machine(folder, cid=70000, seed=folder / "seed.iso", oem_strings=("a",)),
        "desktop": machine(folder, libvirt=DESKTOP),
        "snippets": machine(
            folder, nic=Nic(MAC, forwards=FORWARDS), snippets=own_snippets({"snippets": list(SNIPPETS)})
        ),
    }

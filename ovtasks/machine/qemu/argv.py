"""A machine → QEMU's command line. Pure: the same machine on the same QEMU gives the same words.

Syntax: qemu(1). Everybody on the host can read a command line: secrets appear there only as names of files.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine import virtio
from ovtasks.machine.devices.channel import AGENT
from ovtasks.machine.machine import Machine
from ovtasks.machine.outside import attached
from ovtasks.machine.qemu.command import Command, QemuFeatures
from ovtasks.machine.qemu.families import command
from ovtasks.machine.qemu.names import (
    AGENT_CHANNEL,
    AGENT_SOCKET,
    DISK_NODE,
    QMP_SOCKET,
    SERIAL,
    SERIAL_SOCKET,
    STATUS_SOCKET,
)
from ovtasks.machine.qemu.option import listener, option
from ovtasks.machine.tree import LIBVIRT_HINT
from ovtasks.values.arch import slow_features
from ovtasks.values.firmware import Firmware
from ovtasks.values.ports import PortForward
from ovtasks.values.sizes import MiB


def argv(machine: Machine, host: QemuFeatures) -> list[str]:
    """The whole command line, except what makes a process of it (pid file, log).

    :raises InputError: the spec asks for what plain QEMU, or this one, does not have; the error names the field.
    """
    return argv_of(command(machine, host))


def argv_of(extra: Command) -> list[str]:
    """The same, from what :func:`.families.command` made of the ``libvirt:`` mapping."""
    machine, host = extra.machine, extra.host
    words = [
        host.binary,
        *("-name", option(None, guest=machine.domain, **{"debug-threads": "on"})),
        *("-uuid", machine.uuid, "-nodefaults", "-no-user-config", "-msg", "timestamp=on"),
        *(_sandbox(extra) if host.sandbox else ()),
        *_processor(machine, extra),
        *_firmware(machine),
        *extra.early,
        *_network(extra),
        *_disks(extra),
        *_channels(extra),
        *extra.words,
        *("-display", "none"),
        *_told(machine),
    ]
    _check_devices(extra)
    return words


def _sandbox(extra: Command) -> tuple[str, ...]:
    """The sandbox, as libvirt sets it. With a bridge there is none: QEMU starts qemu-bridge-helper, a setuid program,
    and any sandbox keeps it from becoming root (seccomp(2), "no_new_privs")."""
    if any(card.kind == "bridge" for card in attached(extra.machine)):
        return ()
    deny = "deny"
    return "-sandbox", option("on", obsolete=deny, elevateprivileges=deny, spawn=deny, resourcecontrol=deny)


def _processor(machine: Machine, extra: Command) -> list[str]:
    kind = machine.machine
    properties = dict(extra.properties)
    if machine.boot.smm:
        properties["smm"] = "on"
    if kind == "virt" or kind.startswith("virt-"):
        properties["gic-version"] = "max" if machine.arch == "aarch64" else None
    if machine.boot.code is not None:
        properties |= {"pflash0": "firmware", "pflash1": "nvram" if machine.boot.nvram else None}
    own = "host" if machine.accel == "kvm" else "max"
    slow = {} if extra.model else dict.fromkeys(slow_features(machine.arch, machine.accel), "off")
    return [
        *("-machine", option(kind, **properties), "-accel", option(machine.accel, **extra.accel)),
        *("-cpu", option(extra.model or own, **{**slow, **extra.cpu})),
        *("-smp", option(str(machine.cpus), **extra.topology), "-m", f"size={-(-machine.ram // MiB)}M"),
        *("-rtc", option(None, **extra.rtc)),
    ]


def _firmware(machine: Machine) -> Iterator[str]:
    boot = machine.boot
    if boot.code is None:
        if boot.firmware is not Firmware.BIOS:
            raise InputError(f"firmware: no files are known for {boot.firmware}", hint="install the firmware's package")
        return
    if boot.smm:
        if machine.arch != "x86_64" or "q35" not in machine.machine:
            raise InputError(
                f"firmware: this one needs system management mode, which {machine.machine} has not",
                hint="machine: q35, or another firmware",
            )
        # Without the first, the guest could write the variables past the firmware; the firmware demands the second.
        yield from ("-global", option(None, driver="cfi.pflash01", property="secure", value="on"))
        yield from ("-global", option(None, driver="ICH9-LPC", property="disable_s3", value=1))
    yield from _file("firmware", boot.code_format, boot.code, **{"read-only": "on"})
    if boot.nvram is not None:
        yield from _file("nvram", boot.nvram_format, boot.nvram)


def _file(node: str, driver: str, path: Path, **values: object) -> tuple[str, str]:
    """A block device, not yet attached to a device of the guest."""
    known: dict[str, object] = {"driver": driver, "node-name": node, **values}
    return "-blockdev", option(None, **known, **{"file.driver": "file", "file.filename": path})


# PCI addresses are fixed: a network card keeps its name in the guest, whatever else comes and goes.
def _network(extra: Command) -> Iterator[str]:
    host, nic = extra.host, extra.machine.nic
    if nic.mode == "user":
        if not host.user_network or nic.stack != "slirp":
            raise InputError(
                f"network.mode: {host.binary} has no user networking of its own"
                if not host.user_network
                else f"network: the backend qemu does not use {nic.stack}",
                hint=LIBVIRT_HINT if host.user_network else "mode: bridge, or backend: libvirt with passt",
            )
        forwards = [f"hostfwd={_forward(forward)}" for forward in nic.forwards]
        yield from ("-netdev", ",".join(["user,id=net0", *forwards]))
    elif nic.mode == "bridge":
        if nic.forwards:
            raise InputError("network.port_forwards: a bridged VM has an address of its own", hint="remove them")
        yield from ("-netdev", option("bridge", id="net0", br=nic.bridge or "br0"))
    else:
        what = "is libvirt's way to a card of the host" if nic.mode == "direct" else "is a network of libvirt"
        raise InputError(
            f"network.mode: {nic.mode} {what}, which the backend qemu has not",
            hint="backend: libvirt, or mode: user or bridge",
            field=("network", "mode"),
        )
    # No romfile: a VM without a bootable disk says so at once, and does not ask the network for minutes.
    model = virtio.NET_MODELS.get(nic.model, nic.model)
    yield from extra.one(model, id="nic0", netdev="net0", mac=nic.mac, romfile="", addr="0x2")


def _forward(forward: PortForward) -> str:
    """``tcp:127.0.0.1:2222-:22``; the guest's side is the first address that SLiRP's DHCP gives."""
    if not isinstance(ipaddress.ip_address(forward.address), ipaddress.IPv4Address):
        raise InputError(
            f"network.port_forwards: QEMU's user networking cannot listen on {forward.address}",
            hint="an IPv4 address of this host, or backend: libvirt",
        )
    return f"{forward.protocol}:{forward.address}:{forward.host}-:{forward.guest}"


def _disks(extra: Command) -> Iterator[str]:
    """The VM's own disk and the seed. The VM boots from its own disk first; disks with an order come before it.

    The seed is a disk because cloud kernels lack the driver for CD-ROMs (SATA)."""
    machine = extra.machine
    order = max(extra.orders, default=0) + 1
    yield from _file(DISK_NODE, "qcow2", machine.disk, discard="unmap", **{"detect-zeroes": "unmap"})
    yield from extra.one("virtio-blk-pci", id="disk0", drive=DISK_NODE, bootindex=order, addr="0x3")
    if machine.seed is not None:
        yield from _file("seed", "raw", machine.seed, **{"read-only": "on"})
        yield from extra.one("virtio-blk-pci", id="seed0", drive="seed", addr="0x4")


def _channels(extra: Command) -> Iterator[str]:
    """The serial port, the guest agent's channel, and QEMU's control sockets."""
    machine = extra.machine
    log = {"logfile": machine.serial_log, "logappend": "on"}
    yield from ("-chardev", listener(SERIAL, machine.sockets / SERIAL_SOCKET, **log))
    yield from ("-serial", f"chardev:{SERIAL}")
    yield from extra.one("virtio-serial-pci", id="channels", addr="0x5")
    yield from ("-chardev", listener(AGENT_CHANNEL, machine.sockets / AGENT_SOCKET))
    yield from extra.one("virtserialport", id="agent", chardev=AGENT_CHANNEL, name=AGENT)
    for name, socket in (("qmp", QMP_SOCKET), ("status", STATUS_SOCKET)):
        yield from ("-chardev", listener(name, machine.sockets / socket))
        yield from ("-mon", option(None, chardev=name, mode="control"))


def _told(machine: Machine) -> Iterator[str]:
    """What the firmware tells the guest (systemd.system-credentials(7))."""
    for text in machine.told:
        yield from ("-smbios", option(None, type=11, value=text))
    for name, path in sorted(machine.credentials.items()):
        yield from ("-fw_cfg", option(None, name=f"opt/io.systemd.credentials/{name}", file=path))


_PACKAGES = {
    "virtio-vga": "qemu-virtio",
    "virtio-gpu": "qemu-virtio",
    "qxl": "qemu-qxl",
    "usb-redir": "qemu-usb-redir",
    "usb-host": "qemu-usb-host",
    "ccid-card": "qemu-smartcard",
}
"""How the names of devices begin that some distributions package separately → our name of the package."""


def _check_devices(extra: Command) -> None:
    host = extra.host
    for model in extra.models:
        if model not in host.devices:
            package = next((name for begin, name in _PACKAGES.items() if model.startswith(begin)), None)
            listed = f"{host.binary} -device help lists those it has"
            raise InputError(f"this QEMU has no device {model}", hint=package_hint(package) if package else listed)

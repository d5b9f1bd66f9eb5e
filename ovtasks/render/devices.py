"""The ``<devices>`` of a domain, and the QEMU arguments of what libvirt has no element for.

Format: libvirt's documentation, "Domain XML format". Elements and attributes are made in one fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.render.libvirt_fields import Read
from ovtasks.render.machine import Machine, Nic
from ovtasks.spec.model import PortForward

AGENT = "org.qemu.guest_agent.0"
VDAGENT = "com.redhat.spice.0"
NIC_ADDRESS = "0x10"  # libvirt gives out PCI slots from 1 on, and never comes that far
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class HostFeatures:
    """What libvirt and its QEMU can do for this kind of machine: ``domcapabilities``' words.

    ``emulator`` is QEMU's path (None: libvirt's choice). ``graphics`` and ``video`` are the enums of these names;
    ``tpm``: an emulated TPM can be had; ``passt``: libvirt knows it and it works here.
    """

    emulator: str | None = None
    graphics: frozenset[str] = frozenset({"vnc"})
    video: frozenset[str] = frozenset({"vga", "none"})
    tpm: bool = False
    passt: bool = False


def sub(parent: ET.Element, tag: str, attributes: Mapping[str, str | None] | None = None, text: str = "") -> ET.Element:
    """A child element; attributes that are None are left out."""
    child = ET.SubElement(parent, tag, {k: v for k, v in (attributes or {}).items() if v is not None})
    child.text = text or None
    return child


def mapping(read: Read, name: str) -> Read:
    found = read.get(name, {})
    assert isinstance(found, Mapping)
    return found


def items(read: Read, name: str) -> Sequence[Read]:
    found = read.get(name, ())
    assert not isinstance(found, str | Mapping)
    return found


def value(read: Read, name: str) -> str | None:
    found = read.get(name)
    assert found is None or isinstance(found, str)
    return found


def add_devices(domain: ET.Element, machine: Machine, host: HostFeatures, wanted: Read) -> None:
    """``wanted`` is the spec's ``libvirt.devices``.

    :raises InputError: the host lacks what is asked for, or two fields do not fit together; the field is named.
    """
    devices = sub(domain, "devices")
    if host.emulator:
        sub(devices, "emulator", text=host.emulator)
    _disks(devices, machine)
    _interface(devices, machine.nic, host)
    _serial(devices, machine)
    _channels(devices, wanted)
    _graphics(devices, host, wanted)
    _video(devices, host, wanted)
    _tpm(devices, host, wanted)
    _rng(devices, wanted)
    _memballoon(devices, wanted)
    if machine.cid is not None:
        sub(sub(devices, "vsock", {"model": "virtio"}), "cid", {"auto": "no", "address": str(machine.cid)})


def _disks(devices: ET.Element, machine: Machine) -> None:
    disk = sub(devices, "disk", {"type": "file", "device": "disk"})
    sub(disk, "driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"})
    sub(disk, "source", {"file": str(machine.disk)})
    sub(disk, "target", {"dev": "vda", "bus": "virtio"})
    if machine.seed is not None:
        # no CD-ROM: Debian's cloud kernels have no driver for SATA, or none for USB; virtio-blk is everywhere
        seed = sub(devices, "disk", {"type": "file", "device": "disk"})
        sub(seed, "driver", {"name": "qemu", "type": "raw"})
        sub(seed, "source", {"file": str(machine.seed)})
        sub(seed, "target", {"dev": "vdb", "bus": "virtio"})
        sub(seed, "readonly")


def _model(nic: Nic) -> str:
    """libvirt's name of the card: it knows virtio by a name of its own."""
    return "virtio" if nic.model in {"virtio", "virtio-net", "virtio-net-pci"} else nic.model


def _interface(devices: ET.Element, nic: Nic, host: HostFeatures) -> None:
    if nic.mode == "user" and nic.forwards and nic.stack != "passt":
        return  # slirp's forwards: user_network_arguments
    source: Mapping[str, tuple[str, Mapping[str, str | None] | None]] = {
        "bridge": ("bridge", {"bridge": nic.bridge}),
        "direct": ("direct", {"dev": nic.dev, "mode": "bridge"}),
        "user": ("user", None),
    }
    # what an older version defined has the network's name in bridge
    kind, attributes = source.get(nic.mode, ("network", {"network": nic.network or nic.bridge or "default"}))
    interface = sub(devices, "interface", {"type": kind})
    sub(interface, "mac", {"address": nic.mac})
    if attributes is not None:
        sub(interface, "source", attributes)
    sub(interface, "model", {"type": _model(nic)})
    sub(interface, "rom", {"enabled": "no"})  # nothing boots from the network: no time spent on trying
    if nic.mode == "user" and nic.stack == "passt":
        if not host.passt:
            raise InputError("this libvirt does not know passt", hint=package_hint("passt"))
        sub(interface, "backend", {"type": "passt"})
        for (protocol, address), forwards in _grouped(nic.forwards).items():
            group = sub(interface, "portForward", {"proto": protocol, "address": address})
            for forward in forwards:
                sub(group, "range", {"start": str(forward.host), "to": str(forward.guest)})


def _grouped(forwards: Sequence[PortForward]) -> dict[tuple[str, str], list[PortForward]]:
    groups: dict[tuple[str, str], list[PortForward]] = {}
    for forward in forwards:
        groups.setdefault((forward.protocol, forward.address), []).append(forward)
    return groups


def user_network_arguments(nic: Nic) -> Iterator[str]:
    """QEMU's arguments for a card whose ports its own network stack (slirp) forwards: libvirt cannot say that.

    :raises InputError: a forward listens on an IPv6 address, which slirp cannot.
    """
    if nic.mode != "user" or not nic.forwards or nic.stack == "passt":
        return
    words = ["user", "id=ovnet0"]
    for forward in nic.forwards:
        if ":" in forward.address:
            text = f"[{forward.address}]:{forward.host}:{forward.guest}"
            hint = "listen on an IPv4 address, or install a libvirt (11 or newer) that has passt"
            raise InputError(f"network.port_forwards: {text} needs passt, which is not there", hint=hint)
        words.append(f"hostfwd={forward.protocol}:{forward.address}:{forward.host}-:{forward.guest}")
    device = "virtio-net-pci" if _model(nic) == "virtio" else nic.model
    yield from ("-netdev", ",".join(words))
    yield from ("-device", f"{device},netdev=ovnet0,mac={nic.mac},addr={NIC_ADDRESS},romfile=")


def _serial(devices: ET.Element, machine: Machine) -> None:
    serial = sub(devices, "serial", {"type": "pty"})
    sub(serial, "log", {"file": str(machine.serial_log), "append": "on"})
    sub(serial, "target", {"port": "0"})
    console = sub(devices, "console", {"type": "pty"})
    sub(console, "target", {"type": "serial", "port": "0"})


def _channels(devices: ET.Element, wanted: Read) -> None:
    """The guest agent's always; others as asked for. libvirt chooses the socket of a unix channel itself."""
    spice = any(value(item, "type") == "spice" for item in items(wanted, "graphics"))
    channels = {AGENT: "unix"}
    for index, item in enumerate(items(wanted, "channels")):
        path = f"libvirt.devices.channels[{index}]"
        kind, name = value(item, "type") or "unix", value(item, "name")
        if kind == "spicevmc":
            if not spice:
                hint = "add graphics: [{type: spice}], or remove the channel"
                raise InputError(f"{path} of type spicevmc needs SPICE graphics", hint=hint)
            name = name or VDAGENT
        elif name is None:
            raise InputError(f"{path}.name is missing", hint=f"for example name: {AGENT}")
        if name in channels and name != AGENT:
            raise InputError(f"{path}: the channel {name} is there twice", hint="remove one of the two")
        channels[name] = kind
    for name, kind in channels.items():
        channel = sub(devices, "channel", {"type": kind})
        sub(channel, "target", {"type": "virtio", "name": name})


def _graphics(devices: ET.Element, host: HostFeatures, wanted: Read) -> None:
    for index, item in enumerate(items(wanted, "graphics")):
        path = f"libvirt.devices.graphics[{index}]"
        kind, port, autoport = value(item, "type"), value(item, "port"), value(item, "autoport")
        if kind is None:
            raise InputError(f"{path}.type is missing", hint="type: spice, or type: vnc")
        if kind not in host.graphics:
            hint = package_hint("qemu-spice") if kind == "spice" else "choose type: vnc or spice, or no graphics"
            raise InputError(f"{path}.type {kind}: QEMU here has no {kind.upper()}", hint=hint)
        if autoport == "no" and port is None:
            raise InputError(f"{path}.port is missing: autoport is off", hint="port: 5901, or remove autoport")
        autoport = autoport or ("no" if port else "yes")
        listen = value(item, "listen") or LOOPBACK
        attributes = {"type": kind, "port": None if autoport == "yes" else port, "autoport": autoport}
        graphics = sub(devices, "graphics", attributes)
        sub(graphics, "listen", {"type": "address", "address": listen})


def _video(devices: ET.Element, host: HostFeatures, wanted: Read) -> None:
    for index, item in enumerate(items(wanted, "video")):
        path = f"libvirt.devices.video[{index}]"
        name = value(item, "model")
        if name is None:
            raise InputError(f"{path}.model is missing", hint="model: virtio")
        if name not in host.video:
            hint = package_hint(f"qemu-{name}") if name in {"qxl", "virtio"} else f"one of {_words(host.video)}"
            raise InputError(f"{path}.model {name}: QEMU here has no such video card", hint=hint)
        sizes = {key: value(item, key) for key in ("ram", "vram", "vgamem", "heads", "primary")}
        model = sub(sub(devices, "video"), "model", {"type": name, **sizes})
        if accel3d := value(item, "accel3d"):
            sub(model, "acceleration", {"accel3d": accel3d})


def _words(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _tpm(devices: ET.Element, host: HostFeatures, wanted: Read) -> None:
    for index, item in enumerate(items(wanted, "tpm")):
        if not host.tpm:
            message = f"libvirt.devices.tpm[{index}] needs the TPM emulator swtpm, which is not installed"
            raise InputError(message, hint=package_hint("swtpm"))
        backend = mapping(item, "backend")
        tpm = sub(devices, "tpm", {"model": value(item, "model") or "tpm-crb"})
        sub(tpm, "backend", {"type": "emulator", "version": value(backend, "version") or "2.0"})


def _rng(devices: ET.Element, wanted: Read) -> None:
    """One always: a guest without entropy waits for it at its first boot."""
    for index, item in enumerate(items(wanted, "rng") or ({},)):
        rng = sub(devices, "rng", {"model": value(item, "model") or "virtio"})
        rate = mapping(item, "rate")
        if rate:
            if value(rate, "bytes") is None:
                hint = "rate: {period: 1000, bytes: 1024}"
                raise InputError(f"libvirt.devices.rng[{index}].rate.bytes is missing", hint=hint)
            sub(rng, "rate", {"period": value(rate, "period"), "bytes": value(rate, "bytes")})
        source = value(item, "backend") or "/dev/urandom"
        if source == "builtin":
            sub(rng, "backend", {"model": "builtin"})
        elif source.startswith("/"):
            sub(rng, "backend", {"model": "random"}, source)
        else:
            hint = "builtin, or a device such as /dev/urandom"
            raise InputError(f"libvirt.devices.rng[{index}].backend cannot be {source!r}", hint=hint)


def _memballoon(devices: ET.Element, wanted: Read) -> None:
    item = mapping(wanted, "memballoon")
    model = value(item, "model") or "virtio"
    balloon = sub(devices, "memballoon", {"model": model, "autodeflate": value(item, "autodeflate")})
    if period := value(mapping(item, "stats"), "period"):
        sub(balloon, "stats", {"period": period})

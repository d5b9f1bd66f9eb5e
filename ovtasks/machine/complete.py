"""What a spec leaves open, decided: defaults that depend on the machine, and needs that follow from other fields.

What follows from something else is also said: :func:`complete` gives the sentences for people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, product

from ovtasks.errors import InputError
from ovtasks.machine.device_rules import AGENT, VDAGENT, audio_numbers
from ovtasks.machine.machine import Machine
from ovtasks.machine.read import Path, Read
from ovtasks.machine.tree import Copy, items, mapping, over, value

X86 = frozenset({"x86_64", "i686"})
LOOPBACK = "127.0.0.1"
SERVERS = frozenset({"spice", "vnc", "rdp"})
BOOTABLE = ("disks", "interfaces", "hostdevs", "redirdev")
_PREFIX = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
BUSES = {"vd": "virtio", "sd": "scsi", "hd": "ide", "fd": "fdc", "nv": "nvme"}
_BUS_OF_DEVICE = {"cdrom": "sata", "floppy": "fdc", "lun": "scsi"}


@dataclass
class Completed:
    """``tree`` has every value that the table's own defaults do not give. ``root_boot`` is the place of the VM's disk
    in the order of booting, None: no device has one. ``spice_for`` is the field for which SPICE was added."""

    tree: Copy
    spice_for: Path | None = None
    notes: list[str] = field(default_factory=list)
    root_boot: int | None = None


def complete(machine: Machine, wanted: Read) -> Completed:
    """The block as this machine needs it.

    :raises InputError: a field contradicts the machine; it is named.
    """
    done = Completed(dict(wanted))
    tree, devices = done.tree, dict(mapping(wanted, "devices"))
    tree["features"] = _features(machine, mapping(wanted, "features"), done)
    tree["cpu"] = _cpu(machine, mapping(wanted, "cpu"))
    tree["clock"] = mapping(wanted, "clock") or {"offset": "utc"}
    _sharing(tree, devices, done)
    devices["disks"] = disks = _disks(machine, items(devices, "disks"))
    devices["controllers"] = _controllers(items(devices, "controllers"), disks, done)
    devices["interfaces"] = [
        over(item, mac=_mac(machine.uuid, index)) for index, item in enumerate(items(devices, "interfaces"))
    ]
    for kind, first in (("serial", 1), ("console", 1), ("parallel", 0)):
        devices[kind] = _numbered(items(devices, kind), first)
    _spice(devices, done)
    devices["channels"] = _channels(items(devices, "channels"))
    devices["graphics"] = [_graphics(item) for item in items(devices, "graphics")]
    audio = items(devices, "audio")
    written = [int(text) if (text := value(item, "id")) else None for item in audio]
    devices["audio"] = [over(item, id=str(number)) for item, number in zip(audio, audio_numbers(written), strict=True)]
    devices["tpm"] = [_tpm(machine, item) for item in items(devices, "tpm")]
    devices["rng"] = items(devices, "rng") or [{}]  # a guest without entropy waits for it at its first boot
    devices["memballoon"] = over(mapping(devices, "memballoon"), model="virtio")
    devices["memory"] = [
        item if value(item, "model") == "virtio-pmem" else {**item, "target": over(mapping(item, "target"), node="0")}
        for item in items(devices, "memory")
    ]
    devices["shmem"] = [over(item, model={"type": "ivshmem-plain"}) for item in items(devices, "shmem")]
    devices |= _vsock(machine, devices, done)
    if value(mapping(mapping(devices, "iommu"), "driver"), "intremap") == "on" and "ioapic" not in tree["features"]:
        tree["features"] = over(mapping(tree, "features"), ioapic="qemu")
        done.notes.append("iommu.driver.intremap: features.ioapic is qemu")
    _boot(devices, done)
    tree["devices"] = devices
    return done


def _features(machine: Machine, wanted: Read, done: Completed) -> Copy:
    if machine.boot.smm and value(wanted, "smm") == "off":
        hint = "remove libvirt.features.smm, or choose uefi-insecure"
        path = ("libvirt", "features", "smm")
        raise InputError("firmware uefi-secure needs SMM, but libvirt.features.smm turns it off", hint=hint, field=path)
    if machine.boot.smm and value(wanted, "smm") is None:
        done.notes.append("firmware uefi-secure: features.smm is on")
    smm = "on" if machine.boot.smm else None
    return over(wanted, acpi="on", apic="on" if machine.arch in X86 else "off", smm=smm)


def _cpu(machine: Machine, wanted: Read) -> Copy:
    path = ("libvirt", "cpu", "mode")
    kvm = machine.accel == "kvm"
    mode = value(wanted, "mode") or ("custom" if value(wanted, "model") else "host-passthrough" if kvm else "maximum")
    if not kvm and mode in {"host-passthrough", "host-model"}:
        hint = "remove libvirt.cpu.mode, or see `ov doctor` for what KVM lacks"
        raise InputError(f"libvirt.cpu.mode {mode} needs KVM, and this VM is emulated", hint=hint, field=path)
    features = items(wanted, "features")
    slow = mode == "maximum" and not kvm and machine.arch == "x86_64"  # 5-level paging costs a third under emulation
    if slow and not any(value(item, "name") == "la57" for item in features):
        features = [*features, {"policy": "disable", "name": "la57"}]
    cache = mapping(wanted, "cache")
    if value(cache, "mode") == "emulate":
        wanted = {**wanted, "cache": over(cache, level="3")}
    return {**wanted, "mode": mode, "features": features}


def _sharing(tree: Copy, devices: Read, done: Completed) -> None:
    """virtiofs: its server and the guest use the same memory."""
    if not any(value(item, "driver") == "virtiofs" for item in items(devices, "filesystems")):
        return
    memory = mapping(tree, "memory_backing")
    added = [name for name in ("source", "access") if name not in memory]
    tree["memory_backing"] = over(memory, source="memfd", access="shared")
    if added:
        done.notes.append("virtiofs: memory_backing is memfd, shared")


def _disks(machine: Machine, wanted: Sequence[Read]) -> list[Read]:
    taken = {"vda", *(["vdb"] if machine.seed is not None else [])}
    names = [value(mapping(item, "target"), "dev") for item in wanted]
    if machine.seed is not None and "vdb" in names:
        path = ("libvirt", "devices", "disks", names.index("vdb"), "target", "dev")
        hint = "another name, or leave it out"
        raise InputError(f"libvirt.devices.disks[{path[3]}].target.dev: vdb is the seed", hint=hint, field=path)
    taken |= {name for name in names if name is not None}
    found: list[Read] = []
    for item in wanted:
        target = mapping(item, "target")
        name, bus = value(target, "dev"), value(target, "bus")
        bus = bus or _bus(name, value(item, "device"))
        if name is None:
            name = next(name for name in _names(bus) if name not in taken)
            taken.add(name)
        file = value(mapping(item, "source"), "file") or ""
        driver = over(mapping(item, "driver"), type="qcow2" if file.endswith(".qcow2") else "raw")
        found.append({**item, "driver": driver, "target": {**target, "dev": name, "bus": bus}})
    return found


def _controllers(wanted: Sequence[Read], disks: Sequence[Read], done: Completed) -> list[Read]:
    """SCSI is virtio's: libvirt's own choice is a card that cloud kernels have no driver for. PCI's number 0 is there
    already."""
    found: list[Read] = []
    free = (str(number) for number in count(1))
    written = {value(item, "index") for item in wanted if value(item, "type") == "pci"}
    for item in wanted:
        kind = value(item, "type")
        index = next(number for number in free if number not in written) if kind == "pci" else None
        found.append(over(item, model="virtio-scsi" if kind == "scsi" else None, index=index))
    scsi = any(value(mapping(disk, "target"), "bus") == "scsi" for disk in disks)
    if scsi and not any(value(item, "type") == "scsi" for item in wanted):
        found.append({"type": "scsi", "model": "virtio-scsi", "index": "0"})
        done.notes.append("SCSI disks: a virtio-scsi controller added")
    return found


def _bus(name: str | None, device: str | None) -> str:
    by_device = _BUS_OF_DEVICE.get(device or "")
    if name is None or by_device is not None:
        return by_device or "virtio"
    return BUSES[name[:2]]


def _names(bus: str) -> Iterator[str]:
    """vda … vdz, vdaa …"""
    if bus == "nvme":
        yield from (f"nvme{number}n1" for number in count())
    for length in count(1):
        yield from (_PREFIX[bus] + "".join(letters) for letters in product("abcdefghijklmnopqrstuvwxyz", repeat=length))


def _mac(uuid: str, index: int) -> str:
    """An address in QEMU's range that stays the VM's."""
    digest = hashlib.sha256(f"{uuid}/{index}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def _numbered(wanted: Sequence[Read], first: int) -> list[Read]:
    targets = [mapping(item, "target") for item in wanted]
    written = {value(target, "port") for target in targets}
    free = (str(number) for number in range(first, first + len(wanted) * 2 + 1) if str(number) not in written)
    return [
        {**item, "target": {**target, "port": value(target, "port") or next(free)}}
        for item, target in zip(wanted, targets, strict=True)
    ]


def _spice(devices: Copy, done: Completed) -> None:
    """What goes through SPICE needs a SPICE server."""
    graphics = items(devices, "graphics")
    if any(value(item, "type") == "spice" for item in graphics):
        return
    for kind in ("channels", "smartcard", "redirdev", "audio"):
        for index, item in enumerate(items(devices, kind)):
            through = value(item, "type") or ("spicevmc" if kind == "redirdev" else "")
            if through in {"spicevmc", "spiceport", "spice"}:
                devices["graphics"] = [*graphics, {"type": "spice"}]
                done.spice_for = ("libvirt", "devices", kind, index)
                done.notes.append(f"{kind}[{index}] is {through}: SPICE graphics added, on 127.0.0.1")
                return


def _channels(wanted: Sequence[Read]) -> list[Read]:
    """The guest agent's always; others as asked for. libvirt chooses the socket of a unix channel itself."""
    channels: list[Read] = [{"type": "unix", "name": AGENT}]
    for item in wanted:
        kind, name = value(item, "type") or "unix", value(item, "name")
        if name == AGENT:
            continue
        merged = {key: text for key, text in item.items() if key != "source"}
        if path := value(item, "source"):
            merged["path"] = path
        channels.append(over(merged, type=kind, name=VDAGENT if kind in {"spicevmc", "qemu-vdagent"} else None))
    return channels


def _graphics(wanted: Read) -> Copy:
    kind, done = value(wanted, "type"), dict(wanted)
    if value(wanted, "rendernode") and kind in {"spice", "dbus"}:
        done = over(done, gl="yes")
    if kind not in SERVERS:
        return done
    listeners = [_listener(item) for item in items(wanted, "listen")]
    if not listeners:
        local = value(done, "gl") == "yes"  # SPICE passes no OpenGL over networks
        listeners = [{"type": "none"} if local else {"type": "address", "address": LOOPBACK}]
    done["listen"] = list(listeners)
    if value(listeners[0], "type") in {"socket", "none"}:
        return {key: item for key, item in done.items() if key not in {"port", "autoport", "tls_port"}}
    return over(done, autoport="no" if value(done, "port") or value(done, "tls_port") else "yes")


def _listener(wanted: Read) -> Copy:
    kind = value(wanted, "type") or next(key for key in ("address", "network", "socket") if key in wanted)
    return over(wanted, type=kind, address=LOOPBACK if kind == "address" else None)


def _tpm(machine: Machine, wanted: Read) -> Copy:
    backend = mapping(wanted, "backend")
    emulated = value(backend, "type") in {None, "emulator"}
    crb = machine.arch in X86 and value(backend, "version") != "1.2"
    model = "tpm-crb" if crb else "tpm-tis"
    return {**over(wanted, model=model), "backend": over(backend, version="2.0" if emulated else None)}


def _vsock(machine: Machine, devices: Read, done: Completed) -> Copy:
    if "vsock" not in devices and machine.cid is None:
        return {}
    vsock = mapping(devices, "vsock")
    cid = mapping(vsock, "cid")
    if machine.cid is not None and "address" not in cid:  # else libvirt would choose one that nobody knows
        return {"vsock": {**vsock, "cid": {"auto": "no", "address": str(machine.cid)}}}
    if not cid:
        done.notes.append("vsock: cid.auto is yes")
    return {"vsock": {**vsock, "cid": over(cid, auto="no" if "address" in cid else "yes")}}


def _boot(devices: Read, done: Completed) -> None:
    """libvirt takes an order by devices or by kinds, not both; the VM's own disk comes after those with a place."""
    places = [int(text) for kind in BOOTABLE for item in items(devices, kind) if (text := value(item, "boot"))]
    if places:
        done.root_boot = max(places) + 1
        done.notes.append(f"boot order by devices: the VM's own disk is number {done.root_boot}")

"""Disks as QEMU's words. Each is a block device, which reads and writes, and a device that the guest sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ovtasks.machine import virtio
from ovtasks.machine.devices.disk.names import BUSES, ROOT_DISK, SEED_DISK
from ovtasks.machine.devices.disk.storage import format_node, protocol_node
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Tree

_DEVICES = {
    ("virtio", "disk"): "virtio-blk-pci",
    ("scsi", "disk"): "scsi-hd",
    ("scsi", "cdrom"): "scsi-cd",
    ("scsi", "lun"): "scsi-block",
    ("sata", "disk"): "ide-hd",
    ("sata", "cdrom"): "ide-cd",
    ("ide", "disk"): "ide-hd",
    ("ide", "cdrom"): "ide-cd",
    ("usb", "disk"): "usb-storage",
    ("usb", "cdrom"): "usb-storage",
    ("nvme", "disk"): "nvme",
    ("fdc", "floppy"): "floppy",
}

# libvirt's driver attribute → property of a virtio-blk-pci
_VIRTIO = {
    "iothread": "iothread",
    "queues": "num-queues",
    "queue_size": "queue-size",
    "ioeventfd": "ioeventfd",
    "event_idx": "event_idx",
}
SATA_PORTS = 6
IDE_PORTS = 4
FLOPPIES = 2


@dataclass(frozen=True)
class _Disk:
    """``place`` orders the disks of a bus: it follows from the name in the guest."""

    block: Tree
    device: str
    bus: str
    place: int
    ident: str


def words(blocks: Sequence[Tree], to: Command) -> None:
    """Disks besides the VM's own and its seed.

    :raises InputError: QEMU has no such disk, or this machine no such bus.
    """
    own = (ROOT_DISK, SEED_DISK) if to.machine.seed is not None else (ROOT_DISK,)
    found = [_disk(block, index, own) for index, block in enumerate(blocks)]
    counts: dict[str, int] = {}
    for disk in sorted(found, key=lambda disk: disk.place):
        number = counts.get(disk.bus, 0)
        counts[disk.bus] = number + 1
        _check(disk, number, to)
        _add(disk, number, to)


def _disk(block: Tree, index: int, own: Sequence[str]) -> _Disk:
    device = block.text("device") or "disk"
    target = block.block("target")
    name = target.text("dev")
    if name in own:
        raise target.refuse("dev", f"{name} is the VM's own disk or its seed", hint="vdc, sda, or leave it out")
    usual = {"cdrom": "sata", "lun": "scsi", "floppy": "fdc"}.get(device, "virtio")
    bus = target.text("bus") or (BUSES[name[:2]] if name and device in {"disk", "floppy"} else usual)
    if (bus, device) not in _DEVICES:
        raise target.refuse("bus", f"there is no {device} on {bus}", hint=f"bus: {usual}, or leave it out")
    return _Disk(block, device, bus, 1000 + index if name is None else _place(name), f"disk{index + 1}")


def _place(name: str) -> int:
    """The number that a name stands for: vda → 0, vdz → 25, vdaa → 26; nvme0n1 → 0."""
    if found := re.search(r"[0-9]+", name):
        return int(found[0])
    place = 0
    for letter in name[2:]:
        place = place * 26 + ord(letter) - ord("a") + 1
    return place - 1


def _check(disk: _Disk, number: int, to: Command) -> None:
    most = {"sata": SATA_PORTS, "ide": IDE_PORTS, "fdc": FLOPPIES}.get(disk.bus)
    target = disk.block.block("target")
    if most is not None and number >= most:
        raise target.refuse("bus", f"there are {most} places on {disk.bus}", hint="bus: virtio or scsi")
    if disk.bus in {"sata", "ide"} and disk.device == "disk" and disk.block.peek("readonly") == "yes":
        raise disk.block.refuse("readonly", f"a disk on {disk.bus} can be written", hint="bus: virtio, or scsi")
    if disk.bus == "ide" and (to.q35 or not to.pc):
        raise target.refuse("bus", f"{to.machine.machine} has no IDE", hint="bus: sata, or virtio")
    if disk.bus == "fdc" and not to.pc:
        raise target.refuse("bus", f"{to.machine.machine} has no floppy disks")


def _add(disk: _Disk, number: int, to: Command) -> None:
    block = disk.block
    driver = block.block("driver")
    driver.text("name")
    readonly = block.text("readonly") == "yes" or disk.device == "cdrom"
    node = protocol_node(block, driver, disk.ident, disk.device, readonly=readonly)
    if node is None and disk.device not in {"cdrom", "floppy"}:
        raise block.missing("source", "source: {file: /path/of/an/image}")
    drive = None
    if node is not None:
        to.words += ("-blockdev", option(None, **node))
        drive = format_node(block, driver, disk.ident, to, node, readonly=readonly)
    values: dict[str, object] = {"id": f"{disk.ident}-device", **_place_on(disk, number, to)}
    if disk.bus != "fdc":
        values["drive"] = drive
        values |= _properties(disk, driver)
        values["bootindex"] = to.order(block.number("boot"))
    elif drive is not None:
        values["drive"] = drive
    to.device(_DEVICES[disk.bus, disk.device], **values)


def _place_on(disk: _Disk, number: int, to: Command) -> dict[str, object]:
    """Its place on the bus. The first disk of a bus adds the controller."""
    first = number == 0
    if disk.bus == "scsi":
        if "scsi0" not in to.scsi:
            to.scsi.add("scsi0")
            to.device("virtio-scsi-pci", id="scsi0")
        return {"bus": "scsi0.0", "channel": 0, "scsi-id": number // 8, "lun": number % 8}
    if disk.bus == "sata":
        if first:
            to.device("ich9-ahci", id="sata0")
        return {"bus": f"sata0.{number}"}
    if disk.bus == "ide":
        return {"bus": f"ide.{number // 2}", "unit": number % 2}
    if disk.bus == "usb":
        return {"bus": to.usb_bus()}
    if disk.bus == "fdc":
        if first and to.q35:
            to.device("isa-fdc", id="fdc0")
        return {"unit": number}
    return {}


def _properties(disk: _Disk, driver: Tree) -> dict[str, object]:
    """The properties of this kind of device. Fields that it does not have are not taken here, and so refused later."""
    block, bus = disk.block, disk.bus
    target, sizes = block.block("target"), block.block("blockio")
    found: dict[str, object] = {
        "logical_block_size": sizes.text("logical_block_size"),
        "physical_block_size": sizes.text("physical_block_size"),
        "serial": block.text("serial") or ("ov-" + disk.ident if bus == "nvme" else None),
    }
    if disk.device == "lun":
        return {}
    if block.text("shareable") == "yes":
        found["share-rw"] = "on"
    found["write-cache"] = {"writethrough": "off", "directsync": "off", "none": "on", "writeback": "on"}.get(
        driver.text("cache") or ""
    )
    if bus != "nvme":
        policy = driver.text("error_policy")
        found["werror"] = {"enospace": "enospc"}.get(policy or "", policy)
        found["rerror"] = driver.text("rerror_policy") or (policy if policy != "enospace" else None)
    if bus == "virtio":
        found |= {**{ours: driver.text(theirs) for theirs, ours in _VIRTIO.items()}, **virtio.properties(driver)}
        found["iothread"] = f"iothread{found['iothread']}" if found["iothread"] else None
    if bus in {"scsi", "sata", "ide"} and disk.device == "disk":
        if (wwn := block.text("wwn")) is not None:
            found["wwn"] = "0x" + wwn.removeprefix("0x")
        found["rotation_rate"] = target.text("rotation_rate")
    if bus == "scsi":
        found |= {"vendor": block.text("vendor"), "product": block.text("product")}
    if bus == "usb":
        found["removable"] = target.text("removable") or ("on" if disk.device == "cdrom" else None)
    return found

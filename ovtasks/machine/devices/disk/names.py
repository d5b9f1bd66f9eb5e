"""The names of disks in the guest, and the buses that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, product

ROOT_DISK, SEED_DISK = "vda", "vdb"
_PREFIX = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
BUSES = {"vd": "virtio", "sd": "scsi", "hd": "ide", "fd": "fdc", "nv": "nvme"}
_BUS_OF_DEVICE = {"cdrom": "sata", "floppy": "fdc", "lun": "scsi"}


def bus_of(name: str | None, device: str | None) -> str:
    """The bus of a disk that states none."""
    by_device = _BUS_OF_DEVICE.get(device or "")
    if name is None or by_device is not None:
        return by_device or "virtio"
    return BUSES[name[:2]]


def names_on(bus: str) -> Iterator[str]:
    """All names on a bus, in order: vda … vdz, vdaa …"""
    if bus == "nvme":
        yield from (f"nvme{number}n1" for number in count())
    for length in count(1):
        yield from (_PREFIX[bus] + "".join(letters) for letters in product("abcdefghijklmnopqrstuvwxyz", repeat=length))

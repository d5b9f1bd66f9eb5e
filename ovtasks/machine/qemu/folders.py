"""``devices.hostdevs`` and ``filesystems``: devices and folders of the host."""

from __future__ import annotations

from pathlib import Path

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.command import Command, Share

_SECURITY = {"passthrough": "passthrough", "mapped": "mapped-xattr", "squash": "none"}
QUEUE = 1024
"""Requests in a virtiofs queue, as libvirt has it."""


def hostdevs(blocks: list[Block], to: Command) -> None:
    """:raises InputError: the device cannot be given away by QEMU alone."""
    for index, block in enumerate(blocks):
        kind, source, ident = block.take("type") or "", block.block("source"), f"hostdev{index}"
        block.take("mode")
        order = to.order(block.number("boot"))
        if kind == "pci":
            if block.take("managed") == "yes":
                hint = "managed: no, with the device bound to vfio-pci (driverctl); or backend: libvirt"
                raise block.refuse("managed", "QEMU does not take devices from their drivers", hint=hint)
            driver = block.block("driver")
            driver.take("name")
            parts = [_part(source, key) for key in ("domain", "bus", "slot", "function")]
            host = f"{parts[0]:04x}:{parts[1]:02x}:{parts[2]:02x}.{parts[3]:x}"
            to.device("vfio-pci", id=ident, host=host, **_rom(block), bootindex=order)
        elif kind == "mdev":
            _mdev(block, source, ident, to, order)
        elif kind == "usb":
            _usb(source, ident, to, order)
        else:
            raise block.refuse("type", f"the backend qemu passes no {kind} device on")


def _part(source: Block, key: str) -> int:
    found = source.number(key)
    if found is None and key in {"domain", "function"}:
        return 0
    if found is None:
        raise source.missing(key, "lspci -D shows DOMAIN:BUS:SLOT.FUNCTION")
    return found


def _rom(block: Block) -> dict[str, object]:
    rom = block.block("rom")
    bar = {"on": "1", "off": "0"}.get(rom.take("bar") or "")
    file = rom.take("file")
    return {"rombar": "0" if rom.take("enabled") == "no" else bar, "romfile": file}


def _mdev(block: Block, source: Block, ident: str, to: Command, order: int | None) -> None:
    if block.take("managed") == "yes":
        raise block.refuse("managed", "QEMU makes no mediated devices", hint="managed: no, or backend: libvirt")
    if (model := source.take("model") or "vfio-pci") != "vfio-pci":
        raise source.refuse("model", f"{model} is of s390")
    path = f"/sys/bus/mdev/devices/{source.take('uuid')}"
    ramfb = {"on": "on"}.get(block.take("ramfb") or "")
    name = "vfio-pci-nohotplug" if ramfb else "vfio-pci"
    more = {"display": block.take("display"), "ramfb": ramfb}
    to.device(name, id=ident, sysfsdev=path, **more, **_rom(block), bootindex=order)


def _usb(source: Block, ident: str, to: Command, order: int | None) -> None:
    vendor, product = source.take("vendor"), source.take("product")
    bus, device = source.number("bus"), source.number("device")
    if vendor is None and bus is None:
        raise source.missing("vendor", "vendor and product, as lsusb shows them")
    ids = {"vendorid": _hex(vendor), "productid": _hex(product), "hostbus": bus, "hostaddr": device}
    reset = source.take("guest_reset")
    resets = {
        "guest-reset": {"off": "off", "uninitialized": "on", "on": "on"}.get(reset or ""),
        "guest-resets-all": {"uninitialized": "off", "on": "on"}.get(reset or ""),
    }
    to.device("usb-host", id=ident, **ids, bus=to.usb_bus(), **resets, bootindex=order)


def _hex(text: str | None) -> str | None:
    return None if text is None else "0x" + text.lower().removeprefix("0x")


def filesystems(blocks: list[Block], to: Command) -> None:
    """virtiofs is served by a virtiofsd beside QEMU, which must see the guest's memory; 9p by QEMU itself."""
    for index, block in enumerate(blocks):
        kind = block.take("type") or "mount"
        if kind != "mount":
            raise block.refuse("type", f"QEMU has no filesystem of type {kind}", hint="type: mount")
        driver = block.take("driver") or "9p"
        source, tag = Path(block.take("source") or "/"), block.take("target")
        if driver == "virtiofs":
            _virtiofs(block, index, source, tag, to)
        else:
            mode = block.one_of("accessmode", _SECURITY, "passthrough")
            more = {key: block.take(key) for key in ("fmode", "dmode")}
            more["multidevs"] = block.one_of("multidevs", {"remap": "remap", "forbid": "forbid", "warn": "warn"})
            readonly = "on" if block.flag("readonly") else None
            ident = f"fs{index}"
            to.add("fsdev", "local", id=ident, path=source, security_model=mode, readonly=readonly, **more)
            to.device("virtio-9p-pci", id=f"{ident}-device", fsdev=ident, mount_tag=tag)


def _virtiofs(block: Block, index: int, source: Path, tag: str | None, to: Command) -> None:
    if (mode := block.take("accessmode") or "passthrough") != "passthrough":
        raise block.refuse("accessmode", f"virtiofs has no {mode}", hint="accessmode: passthrough, or driver: 9p")
    binary, ident = block.block("binary"), f"fs{index}"
    program, threads = binary.take("path"), binary.take("thread_pool")
    xattr = binary.take("xattr")
    socket = to.machine.sockets / f"{ident}.sock"
    share = Share(
        name=ident,
        socket=socket,
        source=source,
        readonly=block.flag("readonly"),
        program=Path(program) if program else None,
        cache=binary.one_of("cache", {"none": "never", "always": "always"}),
        sandbox=binary.take("sandbox"),
        xattr=None if xattr is None else xattr == "on",
        threads=None if threads is None else int(threads),
    )
    to.helpers.append(share)
    to.shared = True
    to.add("chardev", "socket", id=ident, path=socket)
    values = {"queue-size": block.take("queue") or QUEUE, "tag": tag}
    to.device("vhost-user-fs-pci", id=f"{ident}-device", chardev=ident, **values)

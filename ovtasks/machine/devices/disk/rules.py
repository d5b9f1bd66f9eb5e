"""Rules between the fields of a disk."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.devices.disk.names import ROOT_DISK
from ovtasks.machine.tree import Faults, Tree

# Protocols whose images need no name.
NAMELESS = frozenset({"nbd"})
_NEEDED = {"file": ("file",), "block": ("dev",), "volume": ("pool", "volume"), "network": ("protocol",)}


def rules(found: Sequence[Tree], _: Tree) -> Faults:
    """Each disk has a source that fits its type, a name of its own, and a bus that can carry it."""
    taken = {ROOT_DISK: "the VM's own disk"}
    for disk in found:
        yield from _disk_source(disk)
        name = disk.block("target").text("dev")
        if name is not None and name in taken:
            yield disk.fault(f": {name} is taken by {taken[name]}", "another name, or leave it out", "target", "dev")
        elif name is not None:
            taken[name] = f"disk {disk.place[-1]}"
        bus, device = disk.block("target").text("bus"), disk.text("device")
        if bus == "fdc" and device != "floppy":
            yield disk.fault("is fdc, which has floppies only", "device: floppy, or another bus", "target", "bus")
        driver = disk.block("driver")
        if driver.text("io") == "native" and driver.text("cache") not in {"none", "directsync"}:
            yield driver.fault("is native, which needs cache: none or directsync", "cache: none", "io")
        if bus == "virtio" and device in {"cdrom", "floppy", "lun"}:
            yield disk.fault(f"is virtio, which has no {device}", "leave it out, or bus: sata", "target", "bus")
        yield from _iotune(disk.block("iotune"))


def _disk_source(disk: Tree) -> Faults:
    source, kind = disk.block("source"), disk.text("type") or "file"
    device = disk.text("device")
    if device == "lun" and kind == "file":
        yield disk.fault("is lun, which needs a block device", "type: block, with source.dev", "device")
    if device in {"cdrom", "floppy"} and kind in {"file", "block"}:
        return  # a drive may be empty
    for key in _NEEDED.get(kind, ()):
        if not source.has(key):
            yield disk.fault(f"is missing: type {kind} needs it", f"source: {{{key}: …}}", "source", key)
    protocol = source.text("protocol")
    if kind != "network" or protocol is None:
        return
    hosts = source.items("hosts")
    if not hosts and protocol != "rbd":
        yield source.fault(f"is missing: {protocol} needs a server", "hosts: [{name: …}]", "hosts")
    if len(hosts) > 1 and protocol not in {"rbd", "gluster"}:
        yield source.fault(f"has several servers; {protocol} has one", "remove the others", "hosts")
    if not source.has("name") and protocol not in NAMELESS:
        yield source.fault(f"is missing: {protocol} needs it", "name: …", "name")
    if protocol in {"rbd", "gluster"} and "/" not in (source.text("name") or "/"):
        words = "POOL/IMAGE" if protocol == "rbd" else "VOLUME/IMAGE"
        yield source.fault(f"must be {words}", f"name: {words}", "name")
    secret = source.block("auth").text("type")
    if secret is not None and secret != {"rbd": "ceph"}.get(protocol, protocol):
        hint = f"type: {'ceph' if protocol == 'rbd' else 'iscsi'}"
        yield source.fault(f"is {secret}, which is not {protocol}'s", hint, "auth", "type")
    if protocol == "nfs" and not source.has("identity"):
        yield source.fault("is missing: nfs needs it", "identity: {user: …, group: …}", "identity")
    for host in hosts:
        key = "socket" if host.text("transport") == "unix" else "name"
        if not host.has(key):
            yield host.fault("is missing", f"{key}: …", key)


def _iotune(iotune: Tree) -> Faults:
    for what in ("bytes", "iops"):
        for suffix in ("", "_max", "_max_length"):
            total = f"total_{what}_sec{suffix}"
            for whose in ("read", "write"):
                name = f"{whose}_{what}_sec{suffix}"
                if iotune.has(total) and iotune.has(name):
                    yield iotune.fault(f"contradicts {total}", "remove one of the two", name)

    if "group_name" in iotune and len(iotune.value) == 1 and not iotune.wrong:
        yield iotune.fault("names a group without limits", "add a limit such as total_iops_sec", "group_name")

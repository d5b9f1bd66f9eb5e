"""What a disk is made of: the protocol that reaches its bytes, and the format of these bytes.

Options: QEMU's QMP reference, ``BlockdevOptions``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Tree

_PORTS = {"nbd": "10809", "iscsi": "3260"}
_URLS = {"http": 80, "https": 443, "ftp": 21, "ftps": 990}
# mode of the cache → cache.direct and cache.no-flush, by libvirt's documentation
_CACHES = {
    "none": ("on", "off"),
    "directsync": ("on", "off"),
    "writeback": ("off", "off"),
    "writethrough": ("off", "off"),
    "unsafe": ("off", "on"),
}
_LIMITS = ("total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec")


def protocol_node(block: Tree, driver: Tree, ident: str, device: str, *, readonly: bool) -> dict[str, object] | None:
    """The block device that reaches the bytes; None: the drive is empty."""
    source, kind = block.block("source"), block.text("type") or "file"
    node: dict[str, object] = {}
    if kind == "volume":
        raise block.refuse("type", "a volume of a storage pool is libvirt's")
    if kind == "network":
        node = _network(source)
    elif kind == "block" and (path := source.text("dev")) is not None:
        optical = device == "cdrom" and path.startswith(("/dev/sr", "/dev/cdrom"))
        node = {"driver": "host_cdrom" if optical else "host_device", "filename": path}
    elif kind == "file" and (path := source.text("file")) is not None:
        node = {"driver": "file", "filename": path}
    if not node:
        return None
    common = _cache(driver)
    if (io := driver.text("io")) is not None:
        if node["driver"] not in {"file", "host_device"}:
            raise driver.refuse("io", f"{node['driver']} has no such choice")
        if io == "native" and common.get("cache.direct") != "on":
            raise driver.refuse("io", "native goes with a cache that goes past the host's", hint="cache: none")
        common["aio"] = io
    unmap = driver.text("discard")
    mode = "on" if readonly else "off"
    return {**node, "node-name": f"{ident}-file", "read-only": mode, "discard": unmap, **common}


def _cache(driver: Tree) -> dict[str, object]:
    direct, no_flush = _CACHES.get(driver.text("cache") or "default", (None, None))
    return {"cache.direct": direct, "cache.no-flush": no_flush} if direct is not None else {}


def _network(source: Tree) -> dict[str, object]:
    protocol, name, hosts = source.text("protocol") or "", source.text("name"), source.items("hosts")
    if protocol == "nbd":
        return {"driver": "nbd", **_server(hosts, source, "nbd", "server."), "export": name}
    if protocol == "iscsi":
        return _iscsi(source, name, hosts)
    if protocol == "rbd":
        return _rbd(source, name, hosts)
    if protocol in _URLS:
        host, port = _host(hosts, source, protocol)
        where = f"[{host}]" if ":" in host else host
        return {"driver": protocol, "url": f"{protocol}://{where}:{port or _URLS[protocol]}/{(name or '').lstrip('/')}"}
    if protocol == "ssh":
        host, port = _host(hosts, source, protocol)
        return {
            "driver": "ssh",
            "server.host": host,
            "server.port": port or "22",
            "path": f"/{(name or '').lstrip('/')}",
        }
    raise source.refuse("protocol", f"{protocol} is not spoken by QEMU alone")


def _host(hosts: list[Tree], source: Tree, protocol: str) -> tuple[str, str | None]:
    """Name and port of the only server.

    :raises InputError: there are none or several, or it is not reached by TCP.
    """
    if len(hosts) != 1 or (name := hosts[0].text("name")) is None:
        raise source.refuse("hosts", f"{protocol} needs one server", hint="hosts: [{name: server.example.org}]")
    if (hosts[0].text("transport") or "tcp") != "tcp":
        raise hosts[0].refuse("transport", f"{protocol} is reached by TCP")
    return name, hosts[0].text("port")


def _server(hosts: list[Tree], source: Tree, protocol: str, prefix: str) -> dict[str, object]:
    """QEMU's ``SocketAddress`` of the only server."""
    if len(hosts) == 1 and hosts[0].peek("transport") == "unix":
        hosts[0].text("transport")
        return {f"{prefix}type": "unix", f"{prefix}path": hosts[0].text("socket")}
    host, port = _host(hosts, source, protocol)
    return {f"{prefix}type": "inet", f"{prefix}host": host, f"{prefix}port": port or _PORTS[protocol]}


def _iscsi(source: Tree, name: str | None, hosts: list[Tree]) -> dict[str, object]:
    """libvirt's name is ``TARGET`` or ``TARGET/LUN``."""
    host, port = _host(hosts, source, "iscsi")
    target, _, lun = (name or "").partition("/")
    where = f"[{host}]" if ":" in host else host
    portal = f"{where}:{port or _PORTS['iscsi']}"
    return {"driver": "iscsi", "transport": "tcp", "portal": portal, "target": target, "lun": lun or "0"}


def _rbd(source: Tree, name: str | None, hosts: list[Tree]) -> dict[str, object]:
    """libvirt's name is ``POOL/IMAGE``; without monitors, /etc/ceph/ceph.conf names them."""
    pool, slash, image = (name or "").partition("/")
    if not slash:
        raise source.refuse("name", "rbd needs a pool and an image", hint="name: pool/image")
    node: dict[str, object] = {"driver": "rbd", "pool": pool, "image": image}
    for index, block in enumerate(hosts):
        host, port = _host([block], source, "rbd")
        node |= {f"server.{index}.host": host, f"server.{index}.port": port or "6789"}
    return node


def format_node(block: Tree, driver: Tree, ident: str, to: Command, node: dict[str, object], *, readonly: bool) -> str:
    """Add the block device in the image's format, and the filters above it; returns the name of the topmost."""
    path = str(node.get("filename", ""))
    kind = driver.text("type") or ("qcow2" if path.endswith(".qcow2") else "raw")
    if driver.text("copy_on_read") == "on" and readonly:
        raise driver.refuse("copy_on_read", "nothing is kept in what cannot be written")
    zeroes = driver.text("detect_zeroes")
    if zeroes == "unmap" and node["discard"] != "unmap":
        raise driver.refuse("detect_zeroes", "unmap goes with discard: unmap", hint="discard: unmap")
    own: dict[str, object] = {"read-only": "on" if readonly else "off", "discard": node["discard"], **_cache(driver)}
    to.words += (
        "-blockdev",
        option(
            None,
            **{"driver": kind, "node-name": ident, **own, "detect-zeroes": zeroes, "file": node["node-name"]},
        ),
    )
    top = ident
    if driver.peek("copy_on_read") == "on":
        to.add("blockdev", **{"driver": "copy-on-read", "node-name": f"{ident}-cor", "file": top})
        top = f"{ident}-cor"
    if "iotune" in block:
        group = _throttle(block.block("iotune"), ident, to)
        to.add(
            "blockdev", **{"driver": "throttle", "node-name": f"{ident}-limit", "throttle-group": group, "file": top}
        )
        top = f"{ident}-limit"
    return top


def _limit(tune: Tree, limit: str) -> Iterator[tuple[str, int]]:
    """A limit, its burst (``_max``) and the burst's length: each needs the one before it."""
    whose, what, _ = limit.split("_")
    before = "1"
    for suffix, ours in (("", ""), ("_max", "-max"), ("_max_length", "-max-length")):
        if (number := tune.number(limit + suffix)) is not None:
            if number and before in {None, "0"}:
                needed = limit + suffix.rpartition("_")[0]
                raise tune.refuse(limit + suffix, f"QEMU wants {needed} with it", hint=f"{needed}: 1000000")
            yield f"{'bps' if what == 'bytes' else what}-{whose}{ours}", number
        before = tune.peek(limit + suffix) or "0"


def _throttle(tune: Tree, ident: str, to: Command) -> str:
    """Add a group of limits, or join it: all disks of a group must state the same limits, or none."""
    name = tune.text("group_name")
    limits = {word: number for limit in _LIMITS for word, number in _limit(tune, limit)}
    if (number := tune.number("size_iops_sec")) is not None:
        if number and not any(limits.get(f"iops-{whose}") for whose in ("total", "read", "write")):
            raise tune.refuse("size_iops_sec", "it needs a limit of requests", hint="total_iops_sec: 1000")
        limits["iops-size"] = number
    group = f"group-{name}" if name else f"{ident}-group"
    known = to.groups.setdefault(group, limits)
    if known is limits:
        # as JSON, the only spelling for nested values
        to.words += ("-object", json.dumps({"qom-type": "throttle-group", "id": group, "limits": limits}))
    elif limits not in ({}, known):
        raise tune.refuse("group_name", f"two disks say different limits of the group {name}")
    return group

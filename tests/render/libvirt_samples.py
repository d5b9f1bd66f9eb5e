"""A small spec for every field of the ``libvirt:`` block and every kind of value that it can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ovtasks.render.libvirt.field import Block, Field, Items, Node, Words, beside
from ovtasks.render.libvirt.table import LIBVIRT

Chain = list[tuple[Block, dict[str, Any]]]


@dataclass(frozen=True)
class Sample:
    """``libvirt`` holds ``value`` at ``path`` (``devices.disks[].serial``), and what that needs."""

    path: str
    value: Any
    libvirt: dict[str, Any]


def samples() -> Iterator[Sample]:
    """Every field with every sample of its kind; an empty mapping for blocks that may be one."""
    for path, node, keys in _nodes(LIBVIRT, "", ()):
        values: tuple[Any, ...]
        if isinstance(node, Field):
            values = node.kind.samples
        elif isinstance(node, Words):
            values = ([node.kind.samples[0]] * max(node.least, 1),)
        else:
            values = ({},)
        for value in values:
            root: dict[str, Any] = {}
            given = deepcopy(value)  # what is completed may be the value itself
            _put(root, keys, value)
            complete(root)
            yield Sample(path, given, root)


def complete(libvirt: dict[str, Any]) -> None:
    """What the rules between fields ask for beyond the table: see :mod:`ovtasks.spec.libvirt_rules`."""
    devices = libvirt.get("devices", {})
    for kind in ("serial", "console", "parallel", "redirdev", "smartcard", "rng"):
        for item in devices.get(kind, ()):
            _complete_character(item)
    for kind, rule in _RULES.items():
        for item in devices.get(kind, ()):
            rule(item)
    if (
        any(
            item.get("type") in _SPICE or item.get("mode") == "passthrough"
            for kind in ("channels", "redirdev", "smartcard", "audio")
            for item in devices.get(kind, ())
        )
        or "redirdev" in devices
    ):
        devices.setdefault("graphics", [{"type": "spice"}])
    for kind in ("graphics", "sound"):
        for item in devices.get(kind, ()):
            if int(item.get("audio", 0)):
                devices["audio"] = [{"id": item["audio"], "type": "none"}]
    cpu, clock, label = libvirt.get("cpu", {}), libvirt.get("clock", {}), libvirt.get("seclabel", {})
    if cpu.get("mode") == "custom":
        cpu.setdefault("model", "qemu64")
    for cell in cpu.get("numa", ()):
        if "unit" in cell:
            cell["memory"] = {"K": 1 << 20, "M": 1 << 10, "G": 1}[cell["unit"][0].upper()]
    if "memnodes" in libvirt.get("numatune", {}):
        count = int(libvirt["numatune"]["memnodes"][0]["cellid"]) + 1
        libvirt["cpu"] = {"numa": [{"memory": f"{1024 // count}M"} for _ in range(count)]}
    wanted = {"timezone": ("timezone", "Europe/Vienna"), "absolute": ("start", 0)}.get(clock.get("offset", ""))
    if wanted:
        clock.setdefault(*wanted)
    memory = libvirt.get("numatune", {}).get("memory", {})
    if "mode" in memory:
        memory.setdefault("nodeset", "0")
    if libvirt.get("launch_security", {}).get("type", "").startswith("sev"):
        libvirt["launch_security"] = {"cbitpos": 47, "reduced_phys_bits": 1, **libvirt["launch_security"]}
    if label.get("type") == "static" or label.get("relabel") in {False, "no"}:
        label |= {"type": "static", "label": label.get("label", "some-label")}
    for entry in libvirt.get("sysinfo", {}).get("entries", ()):
        if "file" not in entry:
            entry.setdefault("value", "some text")
    threads = [item.get("iothread") for item in libvirt.get("cputune", {}).get("iothreadpin", ())]
    threads += [item.get("driver", {}).get("iothread") for kind in _THREADED for item in devices.get(kind, ())]
    if used := [int(number) for number in threads if number is not None]:
        libvirt["iothreads"] = max(used)


_SPICE = frozenset({"spicevmc", "spiceport", "spice"})
_THREADED = ("disks", "controllers")


def _complete_character(item: dict[str, Any]) -> None:
    if "append" in item.get("source", {}) and "type" not in item:
        item["type"] = "file"
    kind = item.get("type")
    if kind in {"tcp", "udp"}:
        source = item.setdefault("source", {})
        source.setdefault("host", "127.0.0.1"), source.setdefault("service", "4555")
    elif kind in {"file", "unix", "dev"}:
        item.setdefault("source", {}).setdefault("path", "/srv/some file")


def _complete_disk(item: dict[str, Any]) -> None:
    for name in [*item.get("iotune", {})]:  # QEMU's rule: a burst needs a limit
        if "_max" in name:
            first = name.partition("_max")[0]
            given = {key: value for key, value in item["iotune"].items() if int(value)}
            item["iotune"] = {**item["iotune"], first: 1, f"{first}_max": 2, **given}
    source = item.setdefault("source", {})
    if item.get("device") == "lun":
        item["type"] = "block"
    kind = item.get("type", "file")
    if kind == "network":
        protocol = source.setdefault("protocol", "nbd")
        name = "pool/image" if protocol == "rbd" else "some-name"
        if protocol != "nbd":
            source.setdefault("name", name)
        for host in source.setdefault("hosts", [{"name": "127.0.0.1"}]):
            if host.get("transport") == "unix":
                host.setdefault("socket", "/srv/some file")
            else:
                host.setdefault("name", "127.0.0.1")
    elif kind == "volume":
        source.setdefault("pool", "default"), source.setdefault("volume", "some-name")
    else:
        source.setdefault({"file": "file", "block": "dev"}[kind], "/srv/some file")


def _complete_interface(item: dict[str, Any]) -> None:
    key = {"bridge": "bridge", "network": "network", "direct": "dev"}.get(item.get("type", "user"))
    if key:
        item.setdefault("source", {}).setdefault(key, "br0")


def _complete_channel(item: dict[str, Any]) -> None:
    if item.get("type") not in {"spicevmc", "qemu-vdagent"}:
        item.setdefault("name", "org.example.0")
    if item.get("type") == "spiceport":
        item.setdefault("channel", "some-name")


def _complete_hostdev(item: dict[str, Any]) -> None:
    source, kind = item["source"], item["type"]
    wanted: dict[str, Any] = {}
    if kind == "pci":
        wanted = {"bus": 1, "slot": 2, "function": 0}
    elif kind == "usb" and not {"bus", "vendor"} & set(source):
        wanted = {"vendor": "0x046d", "product": "0xc52b"}
    elif kind == "usb" and "bus" in source:
        wanted = {"device": 1}
    elif kind == "mdev":
        wanted = {"uuid": "c662edd5-7b2a-4f3c-9a52-3e5c2d0a1f11"}
    elif kind == "scsi" and {"protocol", "hosts", "name"} & set(source):
        wanted = {"protocol": "iscsi", "name": "some-name", "hosts": [{"name": "127.0.0.1"}]}
    elif kind == "scsi":
        wanted = {"adapter": "scsi_host0", "bus": 0, "target": 0, "unit": 0}
    for key, value in wanted.items():
        source.setdefault(key, value)


def _complete_tpm(item: dict[str, Any]) -> None:
    if item.get("backend", {}).get("type") == "external":
        item["backend"].setdefault("source", "/srv/some file")


def _complete_shmem(item: dict[str, Any]) -> None:
    if item.get("model", {}).get("type") == "ivshmem-doorbell" or "msi" in item:
        item.setdefault("model", {})["type"] = "ivshmem-doorbell"
        item.setdefault("server", {}).setdefault("path", "/srv/some file")


def _complete_smartcard(item: dict[str, Any]) -> None:
    if item["mode"] == "host-certificates":
        item.setdefault("certificates", ["one", "two", "three"])
    elif item["mode"] == "passthrough":
        item.setdefault("type", "spicevmc")


def _complete_input(item: dict[str, Any]) -> None:
    key = {"passthrough": "evdev", "evdev": "dev"}.get(item["type"])
    if key:
        item.setdefault("source", {}).setdefault(key, "/dev/input/event0")


def _complete_graphics(item: dict[str, Any]) -> None:
    if item.get("autoport") in {False, "no"}:
        item["port"] = 5999
    for listen in item.get("listen", ()):
        if listen.get("type") == "network":
            listen.setdefault("network", "default")


def _complete_audio(item: dict[str, Any]) -> None:
    if item.get("type") == "file":
        item.setdefault("path", "/srv/some file")


def _complete_filesystem(item: dict[str, Any]) -> None:
    if item.get("type") == "ram":
        item["source"] = "1024"


_RULES: dict[str, Callable[[dict[str, Any]], None]] = {
    "disks": _complete_disk,
    "interfaces": _complete_interface,
    "channels": _complete_channel,
    "hostdevs": _complete_hostdev,
    "tpm": _complete_tpm,
    "shmem": _complete_shmem,
    "filesystems": _complete_filesystem,
    "smartcard": _complete_smartcard,
    "inputs": _complete_input,
    "graphics": _complete_graphics,
    "audio": _complete_audio,
}


def _nodes(block: Block, path: str, keys: tuple[str, ...]) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
    for name, node in block.fields.items():
        below = f"{path}.{name}" if path else name
        if isinstance(node, Field | Words):
            yield below, node, (*keys, name)
        elif isinstance(node, Block):
            if node.bare:
                yield below, node, (*keys, name)
            yield from _nodes(node, below, (*keys, name))
        else:
            yield from _nodes(node.block, f"{below}[]", (*keys, name))


def _put(root: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    chain: Chain = [(LIBVIRT, root)]
    nodes: list[Node] = []
    for key in keys[:-1]:
        block, mapping = chain[-1]
        node = block.fields[key]
        nodes.append(node)
        inner: dict[str, Any] = {}
        mapping[key] = [inner] if isinstance(node, Items) else inner
        chain.append((node.block if isinstance(node, Items) else node, inner))  # type: ignore[arg-type]
    chain[-1][1][keys[-1]] = value
    nodes.append(chain[-1][0].fields[keys[-1]])
    for depth, node in enumerate(nodes, 1):
        _please(node, chain[:depth])
    for depth in range(1, len(chain)):
        _fill(chain[: depth + 1])


def _fill(chain: Chain) -> None:
    """What a mapping must have."""
    block, mapping = chain[-1]
    for name, node in block.fields.items():
        if isinstance(node, Field) and node.required and name not in mapping:
            _choose(name, None, chain)
        elif isinstance(node, Block) and node.required and name not in mapping:
            mapping[name] = {}
            _please(node, chain)
            _fill([*chain, (node, mapping[name])])


def _please(node: Node, chain: Chain) -> None:
    """What a field goes with, and needs beside it."""
    only, needs = beside(node)
    for name, allowed in only.items():
        first, _, rest = name.partition(".")
        for depth in range(len(chain), 0, -1):
            block, mapping = chain[depth - 1]
            if first in block.fields:
                place = chain[:depth]
                if rest:
                    inner = block.fields[first]
                    assert isinstance(inner, Block)
                    place = [*place, (inner, mapping.setdefault(first, {}))]
                _choose(rest or first, allowed, place)
                break
    for name in needs:
        if name not in chain[-1][1]:
            _choose(name, None, chain)


def _choose(name: str, allowed: tuple[str, ...] | None, chain: Chain) -> None:
    block, mapping = chain[-1]
    node = block.fields[name]
    assert isinstance(node, Field)
    present = mapping.get(name, node.default or node.assumed)
    if present is not None and (allowed is None or str(present) in allowed):
        return
    mapping[name] = allowed[0] if allowed else node.kind.samples[0]
    _please(node, chain)

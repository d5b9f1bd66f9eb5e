"""Every field of the table with every value, each in the smallest spec that it can stand in."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ovtasks.machine.field import Block, Field, Items, Node, Version, Words, beside
from ovtasks.machine.machine import Machine
from ovtasks.machine.table import LIBVIRT
from ovtasks.values.jsonvalue import Json
from tests.support.machines import machine

Steps = tuple[str, ...]
"""Names from ``libvirt`` down; a list has one item, which has no step of its own."""


@dataclass(frozen=True)
class Leaf:
    """``nodes`` are the blocks around the field, outermost first."""

    steps: Steps
    field: Field | Words
    nodes: tuple[Block | Items, ...]

    @property
    def name(self) -> str:
        return ".".join(self.steps)

    def since_of(self, value: Json) -> Version:
        """The first libvirt that knows the field with this value; 0.0: all that are supported."""
        blocks = [node.block if isinstance(node, Items) else node for node in self.nodes]
        versions = [block.since for block in blocks if block.since]
        if isinstance(self.field, Field):
            own = self.field.since_values.get(self.field.kind.parse(value) or "")
            versions += [version for version in (self.field.since, own) if version]
        return max(versions, default=(0, 0))


@dataclass(frozen=True)
class Case:
    """``value`` as it is written; ``text`` as the XML must have it."""

    leaf: Leaf
    value: Json
    text: str
    spec: dict[str, Any]

    @property
    def since(self) -> Version:
        return self.leaf.since_of(self.value)


def machine_of(case: Case) -> Machine:
    """A machine that the case's spec fits: topologies and pins want so many processors, some modes KVM."""
    topology = case.spec.get("cpu", {}).get("topology", {})
    parts = [int(topology.get(name, 1)) for name in ("sockets", "dies", "cores", "threads")]
    cpus = math.prod(parts) if topology else 4096 if "vcpupin" in case.leaf.steps else 2
    for cell in case.spec.get("cpu", {}).get("numa", ()):
        cpus = 4 if "cpus" in cell else cpus
    kvm = str(case.spec.get("cpu", {}).get("mode")).startswith("host-")
    return machine(libvirt=case.spec, accel="kvm" if kvm else "tcg", cpus=cpus)


def leaves(block: Block = LIBVIRT, steps: Steps = (), nodes: tuple[Block | Items, ...] = ()) -> Iterator[Leaf]:
    """All fields, in the table's order."""
    for name, node in block.fields.items():
        below = (*steps, name)
        if isinstance(node, Field | Words):
            yield Leaf(below, node, nodes)
        else:
            yield from leaves(node.block if isinstance(node, Items) else node, below, (*nodes, node))


LEAVES = [leaf for leaf in leaves() if leaf.name not in {"snippets", "xml_passthrough"}]
"""Those that name one thing each."""


def cases(leaf: Leaf) -> Iterator[Case]:
    """One for each kind of value."""
    for value in leaf.field.kind.samples:
        text = leaf.field.kind.parse(value)
        assert text is not None, (leaf.name, value)
        yield Case(leaf, value, text, spec_with(leaf, value))


def spec_with(leaf: Leaf, value: Json) -> dict[str, Any]:
    """The smallest ``libvirt:`` block in which the field may have the value."""
    written: Json = [value] * max(1, leaf.field.least) if isinstance(leaf.field, Words) else value
    return _around(leaf, written)


def spec_without(leaf: Leaf) -> dict[str, Any]:
    """The same without the field, so that what it does shows."""
    spec = spec_with(leaf, leaf.field.kind.samples[0])
    _parent(spec, leaf).pop(leaf.steps[-1])
    return spec


def spec_wrong(leaf: Leaf, value: Json) -> dict[str, Any]:
    """The smallest block with a value that the field cannot have."""
    spec = spec_with(leaf, leaf.field.kind.samples[0])
    _parent(spec, leaf)[leaf.steps[-1]] = [value] if isinstance(leaf.field, Words) else value
    return spec


def _parent(spec: dict[str, Any], leaf: Leaf) -> dict[str, Any]:
    block: Any = spec
    for step in leaf.steps[:-1]:
        block = block[step]
        block = block[0] if isinstance(block, list) else block
    found: dict[str, Any] = block
    return found


def _around(leaf: Leaf, value: Json) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    chain: list[tuple[Block, dict[str, Any]]] = [(LIBVIRT, spec)]
    for step, node in zip(leaf.steps, leaf.nodes, strict=False):
        below: dict[str, Any] = {}
        chain[-1][1][step] = [below] if isinstance(node, Items) else below
        chain.append((node.block if isinstance(node, Items) else node, below))
    chain[-1][1][leaf.steps[-1]] = value
    for index in range(len(chain)):
        _required(chain[index][0], chain[index][1])
    for index, step in enumerate(leaf.steps):
        _company(chain[: index + 1], chain[index][0].fields[step])
    _rules(spec, leaf)
    return spec


def _required(block: Block, spec: dict[str, Any]) -> None:
    for name, node in block.fields.items():
        if name in spec or isinstance(node, Words | Items) or not node.required:
            continue
        if isinstance(node, Field):
            spec[name] = node.kind.samples[0]
        else:
            spec[name] = {}
            _required(node, spec[name])


def _company(chain: list[tuple[Block, dict[str, Any]]], node: Node) -> None:
    """What the field goes with."""
    only, needs = beside(node)
    for key, values in only.items():
        first, _, rest = key.partition(".")
        for index in range(len(chain) - 1, -1, -1):
            block, spec = chain[index]
            if first not in block.fields:
                continue
            found = block.fields[first]
            if rest:
                spec.setdefault(first, {})[rest] = values[0]
            elif isinstance(found, Field) and found.kind.parse(spec.get(first)) not in values:
                spec[first] = values[0]
                _company(chain[: index + 1], found)
            break
    for key in needs:
        block, spec = chain[-1]
        if key not in spec:
            needed = block.fields[key]
            assert isinstance(needed, Field)
            spec[key] = needed.kind.samples[0]
            _company(chain, needed)


ENDS: dict[str, dict[str, Any]] = {
    "tcp": {"host": "127.0.0.1", "service": "4555"},
    "udp": {"host": "127.0.0.1", "service": "4555"},
    "file": {"path": "/x"},
    "dev": {"path": "/dev/x"},
    "unix": {"path": "/x.sock"},
}
SOURCES: dict[str, dict[str, Any]] = {
    "pci": {"bus": 3, "slot": 0},
    "usb": {"vendor": "0x046d", "product": "0xc52b"},
    "scsi": {"adapter": "scsi_host0", "bus": 0, "target": 1, "unit": 2},
    "mdev": {"uuid": "c662edd5-7b2a-4f3c-9a52-3e5c2d0a1f11"},
}
DISKS: dict[str, dict[str, Any]] = {
    "file": {"file": "/x.img"},
    "block": {"dev": "/dev/x"},
    "volume": {"pool": "p", "volume": "v"},
    "network": {"protocol": "nbd", "hosts": [{"name": "h"}]},
}


def _fill(block: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        block.setdefault(key, copy.deepcopy(value))


def _rules(spec: dict[str, Any], leaf: Leaf) -> None:
    """What the rules between fields want besides."""
    devices = spec.get("devices", {})
    for item in devices.get("disks", ()):
        _disk(item)
    for item in devices.get("hostdevs", ()):
        _host_device(item)
        if "display" in item:
            devices["graphics"] = [{"type": "vnc"}]
    for kind in ("serial", "console", "parallel", "redirdev", "smartcard", "rng"):
        for item in devices.get(kind, ()):
            if (end := ENDS.get(str(item.get("type")))) is not None:
                _fill(item.setdefault("source", {}), end)
    for item in devices.get("interfaces", ()):
        needed = {"bridge": {"bridge": "br0"}, "network": {"network": "n"}, "direct": {"dev": "eth0"}}
        if (source := needed.get(str(item.get("type")))) is not None:
            _fill(item.setdefault("source", {}), source)
        for forward in item.get("port_forwards", ()):
            if "end" in forward:
                forward["start"] = 1
    _devices(devices)
    _machine(spec, leaf)


def _disk(item: dict[str, Any]) -> None:
    if item.get("device") == "lun" and item.get("type", "file") == "file":
        item["type"] = "block"
    source = item.setdefault("source", {})
    _fill(source, DISKS[item.get("type", "file")])
    protocol = source.get("protocol")
    if protocol not in {None, "nbd"}:
        _fill(source, {"name": "p/i"})
    if source.get("auth", {}).get("type") == "iscsi":
        source["protocol"] = "iscsi"
    if protocol == "nfs":
        _fill(source, {"identity": {"user": "u", "group": "g"}})
    for host in source.get("hosts", ()):
        _fill(host, {"socket": "/x.sock"} if host.get("transport") == "unix" else {"name": "h"})
        if host.get("transport") == "rdma":
            source.update(protocol="gluster", name="v/i")

    driver, target, iotune = (item.get(name, {}) for name in ("driver", "target", "iotune"))
    if driver.get("io") == "native":
        _fill(driver, {"cache": "none"})
    if target.get("bus") == "fdc":
        item["device"] = "floppy"
    if "group_name" in iotune:
        _fill(iotune, {"total_iops_sec": 1})


def _host_device(item: dict[str, Any]) -> None:
    source = item.setdefault("source", {})
    if source.get("protocol"):
        _fill(source, {"name": "iqn.x", "hosts": [{"name": "h"}]})
    elif item["type"] == "usb" and ("bus" in source or "device" in source):
        _fill(source, {"bus": 1, "device": 2})
    else:
        _fill(source, SOURCES[item["type"]])
    for host in source.get("hosts", ()):
        _fill(host, {"name": "h"})


def _devices(devices: dict[str, Any]) -> None:
    for item in devices.get("console", ()):
        if str(item.get("target", {}).get("port")) == "2":
            devices["console"] = [{}, item]
            break
    for item in devices.get("controllers", ()):
        if item["type"] == "pci":
            _fill(item, {"model": "pcie-root-port"})
        if "model" in item:
            item["type"] = "pci" if item["model"].startswith(("pci", "dmi")) else "scsi"
    for item in devices.get("channels", ()):
        if item.get("type") not in {"spicevmc", "qemu-vdagent"}:
            _fill(item, {"name": "org.example.1"})
        if item.get("type") == "spiceport":
            _fill(item, {"channel": "c"})
    cid = devices.get("vsock", {}).get("cid", {})
    if str(cid.get("auto")).lower() in {"false", "no"}:
        _fill(cid, {"address": 42})
    for item in devices.get("graphics", ()):
        if str(item.get("autoport")).lower() in {"false", "no"}:
            _fill(item, {"port": 5999})
        for one in item.get("listen", ()):
            if one.get("type") == "network":
                _fill(one, {"network": "n"})
        if "audio" in item:
            devices["audio"] = [{"id": item["audio"]}]
    for item in devices.get("sound", ()):
        if "audio" in item:
            devices["audio"] = [{"id": item["audio"]}]
    for item in devices.get("audio", ()):
        if item.get("type") == "file":
            _fill(item, {"path": "/x.wav"})
    for item in devices.get("rng", ()):
        if item.get("backend") == "egd":
            _fill(item, {"type": "unix", "source": {"path": "/x.sock", "mode": "connect"}})
    for item in devices.get("tpm", ()):
        if item.get("model") == "tpm-crb" and "version" in item.get("backend", {}):
            item["model"] = "tpm-tis"
        if item.get("backend", {}).get("type") == "external":
            _fill(item["backend"], {"source": "/x.sock"})
    for item in devices.get("smartcard", ()):
        if item["mode"] == "passthrough":
            _fill(item, {"type": "spicevmc"})
        elif item["mode"] == "host-certificates":
            _fill(item, {"certificates": ["a", "b", "c"]})
    for item in devices.get("shmem", ()):
        if item.get("model", {}).get("type") == "ivshmem-doorbell":
            _fill(item, {"server": {}})
    for item in devices.get("inputs", ()):
        inputs: dict[str, dict[str, Any]] = {
            "passthrough": {"evdev": "/dev/input/e"},
            "evdev": {"dev": "/dev/input/e"},
        }
        if item.get("bus") == "ps2":
            item["type"] = "mouse"
        if (device := inputs.get(item["type"])) is not None:
            _fill(item.setdefault("source", {}), device)
            if item["type"] == "passthrough":
                item["bus"] = "virtio"


def _machine(spec: dict[str, Any], leaf: Leaf) -> None:
    if spec.get("cpu", {}).get("mode") == "custom":
        _fill(spec["cpu"], {"model": "qemu64"})
    if leaf.steps[:2] == ("numatune", "memnodes"):
        spec["cpu"] = {"numa": [{"memory": 2048, "cpus": "0"}]}
    offsets: dict[str, dict[str, Any]] = {"timezone": {"timezone": "Europe/Vienna"}, "absolute": {"start": 1}}
    _fill(spec.get("clock", {}), offsets.get(spec.get("clock", {}).get("offset", ""), {}))
    for timer in spec.get("clock", {}).get("timers", ()):
        if timer.get("tickpolicy") == "discard":
            timer["name"] = "pit"
    for item in spec.get("devices", {}).get("memory", ()):
        numa: list[Any] = spec.setdefault("cpu", {}).setdefault("numa", [])
        wanted = int(item["target"].get("node", 0)) + 1
        numa.extend({"memory": 2048} for _ in range(wanted))
        if item["model"] in {"nvdimm", "virtio-pmem"}:
            _fill(item.setdefault("source", {}), {"path": "/x"})
        if item["model"] == "virtio-mem":
            _fill(item["target"], {"block": 2048})
            _fill(item["target"], {"requested": item["target"]["block"]})
        if "label" in item["target"]:
            item["target"]["size"] = "2G"
    cells = spec.get("cpu", {}).get("numa", [])
    for cell in cells:
        if int(cell.get("id", 0)) == 1:
            cells.insert(0, {"memory": 2048, "id": 0})
            break
    if "unit" in leaf.steps and "numa" in leaf.steps:
        spec["cpu"]["numa"][0]["memory"] = 2048
    if {"iothread", "iothreadpin"} & {*leaf.steps}:
        spec["iothreads"] = 2
    label = spec.get("seclabel", {})
    if label.get("type") == "static":
        _fill(label, {"label": "l"})
    if "relabel" in label:
        label.update({"type": "static", "label": "l"})
    if {"label", "baselabel"} & {*label}:
        _fill(label, {"model": "selinux"})
    memory = spec.get("numatune", {}).get("memory", {})
    if memory and memory.get("placement", "static") == "static":
        _fill(memory, {"nodeset": "0"})
    hyperv = spec.get("features", {}).get("hyperv", {})
    if "vendor_id" in hyperv:
        _fill(hyperv["vendor_id"], {"value": "KVM Hv"})
    if spec.get("sysinfo", {}).get("type") == "fwcfg":
        _fill(spec["sysinfo"], {"entries": [{"name": "opt/org.example/a", "value": "v"}]})
    for entry in spec.get("sysinfo", {}).get("entries", ()):
        if "file" not in entry:
            _fill(entry, {"value": "v"})

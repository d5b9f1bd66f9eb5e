"""The ``libvirt:`` block's rules between fields: what no keyword can state. Data in, faults out.

They trust nothing: a value of a wrong type is left to the schema, whose complaints come beside these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ovtasks.errors import InputError
from ovtasks.machine.device_rules import DEVICE_RULES
from ovtasks.machine.rule_tree import Faults, Tree
from ovtasks.machine.stated import Fault, text
from ovtasks.values.sizes import UNITS, parse_size

__all__ = ["Fault", "block_rules", "cpu_count_rules"]

ROOT = ("libvirt",)
# What QEMU's timers can do about ticks that were missed.
TICKS = {"rtc": ("delay", "catchup"), "hpet": ("delay",)}


def block_rules(libvirt: Mapping[str, Any]) -> Iterator[Fault]:
    """Every violation."""
    tree = Tree(libvirt, ROOT)
    for rule in RULES:
        yield from rule(tree)


def cpu_count_rules(libvirt: Mapping[str, Any], cpus: int) -> Iterator[Fault]:
    """What the number of processors must fit."""
    tree = Tree(libvirt, ROOT)
    topology = tree.block("cpu").block("topology")
    parts = {name: topology.number(name) or 1 for name in ("sockets", "dies", "cores", "threads")}
    product = parts["sockets"] * parts["dies"] * parts["cores"] * parts["threads"]
    if topology.value and product != cpus:
        words = " × ".join(f"{count} {name}" for name, count in parts.items() if name in topology.value)
        yield topology.fault(f"is {words}, but the VM has cpus: {cpus}", f"cpus: {product}, or change the topology")
    for cell in tree.block("cpu").items("numa"):
        numbers = [int(word) for word in re.findall(r"[0-9]+", cell.text("cpus") or "")]
        if any(number >= cpus for number in numbers):
            problem = f"has {max(numbers)}, but the VM has the processors 0 to {cpus - 1}"
            yield cell.fault(problem, "processors that there are", "cpus")
    for pin in tree.block("cputune").items("vcpupin"):
        vcpu = pin.number("vcpu")
        if vcpu is not None and vcpu >= cpus:
            yield pin.fault(f"is {vcpu}, but the VM has the processors 0 to {cpus - 1}", "remove it", "vcpu")


def cpu_rules(tree: Tree) -> Faults:
    """A model where there is none, features twice, sensible cells."""
    cpu = tree.block("cpu")
    if cpu.text("mode") == "custom" and not cpu.has("model"):
        yield cpu.fault("is missing: mode custom needs it", "model: qemu64", "model")
    yield from twice(cpu.items("features"), "name", "feature")
    yield from twice(cpu.items("numa"), "id", "cell")
    cache = cpu.block("cache")
    if cache.has("level") and cache.text("mode") not in {None, "emulate"}:
        yield cache.fault("goes with mode: emulate", "mode: emulate, or remove level", "level")
    cells = cpu.items("numa")
    for cell in cells:
        number = cell.number("id")
        if number is not None and number >= len(cells):
            hint = "leave it out: cells are counted from 0"
            yield cell.fault(f"is {number}, but the last cell is {len(cells) - 1}", hint, "id")
        if cell.has("unit") and not text(cell.get("memory")).isdigit():
            yield cell.fault("has no effect: memory has a unit", "remove it", "unit")
    if tree.block("numatune").items("memnodes") and not cpu.items("numa"):
        yield tree.block("numatune").fault("needs the cells of libvirt.cpu.numa", "add cpu.numa", "memnodes")


def feature_rules(tree: Tree) -> Faults:
    """What is turned on has its value."""
    hyperv = tree.block("features").block("hyperv")
    vendor = hyperv.block("vendor_id")
    if hyperv.has("vendor_id") and not vendor.has("value") and vendor.switch("state") is not False:
        yield vendor.fault("is missing", "value: a text of up to 12 characters", "value")


def clock_rules(tree: Tree) -> Faults:
    """Each offset with what it needs."""
    clock = tree.block("clock")
    for offset, needed, example in (("timezone", "timezone", "Europe/Berlin"), ("absolute", "start", "1700000000")):
        if clock.text("offset") == offset and not clock.has(needed):
            yield clock.fault(f"is missing: offset {offset} needs it", f"{needed}: {example}", needed)
    yield from twice(clock.items("timers"), "name", "timer")
    for timer in clock.items("timers"):
        name, policy = timer.text("name"), timer.text("tickpolicy")
        if policy is not None and policy not in TICKS.get(name or "", (policy,)):
            yield timer.fault(f"is {policy}, which {name} has not", " or ".join(TICKS[str(name)]), "tickpolicy")


def tuning_rules(tree: Tree) -> Faults:
    """I/O threads that there are, nodes that are named."""
    memory = tree.block("numatune").block("memory")
    if memory.value and memory.text("placement") in {None, "static"} and not memory.has("nodeset"):
        yield memory.fault("is missing", "nodeset: 0, or placement: auto", "nodeset")
    threads = tree.number("iothreads") or 0
    users = [(pin, "iothread") for pin in tree.block("cputune").items("iothreadpin")]
    for kind in ("disks", "controllers"):
        users += [(item.block("driver"), "iothread") for item in tree.block("devices").items(kind)]
    for user, key in users:
        number = user.number(key)
        if number is not None and number > threads:
            many = f"there are {threads}" if threads else "there are none"
            yield user.fault(f"is {number}, but {many}", f"iothreads: {number} in libvirt", key)


def memory_rules(tree: Tree) -> Faults:
    """Memory devices belong to cells, and have what their model needs."""
    cells = len(tree.block("cpu").items("numa"))
    needed = {"nvdimm": [("source", "path")], "virtio-pmem": [("source", "path")]}
    needed["virtio-mem"] = [("target", "block"), ("target", "requested")]
    for item in tree.block("devices").items("memory"):
        model, node = item.text("model") or "", item.block("target").number("node")
        if not cells:
            yield item.fault("needs the cells of libvirt.cpu.numa", "cpu: {numa: [{cpus: 0-1, memory: 2G}]}")
        elif node is not None and node >= cells:
            yield item.fault(f"is {node}, but the last cell is {cells - 1}", "node: 0", "target", "node")
        for block, key in needed.get(model, ()):
            if not item.block(block).has(key):
                yield item.fault(f"is missing: model {model} needs it", f"{block}: {{{key}: …}}", block, key)
        target = item.block("target")
        size, block_, label = (_bytes(target, key) for key in ("size", "block", "label"))
        for key in ("size", "requested"):
            if block_ is not None and (_bytes(target, key) or 0) % block_:
                yield target.fault(f"is no multiple of block {target.text('block')}", "whole blocks", key)
        if size is not None and label is not None and label >= size:
            yield target.fault("is not smaller than size", "label: 2M", "label")


def _bytes(tree: Tree, key: str) -> int | None:
    """A size in bytes; None for what is none."""
    try:
        return parse_size(tree.text(key) or "", bare=UNITS["K"])
    except InputError:
        return None


def sharing_rules(tree: Tree) -> Faults:
    """virtiofs and the guest use the same memory."""
    memory = tree.block("memory_backing")
    folders = tree.block("devices").items("filesystems")
    if any(folder.text("driver") == "virtiofs" for folder in folders):
        if memory.text("access") == "private":
            yield memory.fault("is private, but virtiofs needs shared memory", "access: shared, or remove it", "access")
        if memory.text("source") == "anonymous":
            yield memory.fault(
                "is anonymous, but virtiofs needs memory that can be shared", "source: memfd, or remove it", "source"
            )


def label_rules(tree: Tree) -> Faults:
    """A static label is written; relabelling follows from the type. What fw_cfg tells has a content."""
    label = tree.block("seclabel")
    kind, relabel = label.text("type") or "dynamic", label.switch("relabel")
    if label.value and kind == "static" and not label.has("label"):
        yield label.fault("is missing: type static needs it", "write the label, or type: dynamic", "label")
    if (label.has("label") or label.has("baselabel")) and not label.has("model"):
        yield label.fault("is missing: the label is one of a security driver's", "model: selinux", "model")
    if (kind, relabel) in {("dynamic", False), ("none", True)}:
        yield label.fault(f"contradicts type: {kind}", "remove it", "relabel")
    told = tree.block("sysinfo")
    if told.text("type") == "fwcfg" and not told.has("entries"):
        yield told.fault("is missing: type fwcfg needs it", "entries: [{name: opt/org.example/a, value: …}]", "entries")
    for entry in told.items("entries"):
        if entry.has("file") == entry.has("value"):
            yield entry.fault("needs either file or value", "value: …, or file: /path")


def twice(items: Sequence[Tree], key: str, what: str) -> Faults:
    """Two items with the same ``key``."""
    seen: dict[str, Tree] = {}
    for item in items:
        value = item.text(key)
        if value is not None and value in seen:
            yield item.fault(f": {what} {value} is there twice", "remove or rename one of the two", key)
        elif value is not None:
            seen[value] = item


RULES: tuple[Callable[[Tree], Faults], ...] = (
    cpu_rules,
    feature_rules,
    clock_rules,
    tuning_rules,
    memory_rules,
    sharing_rules,
    label_rules,
    *DEVICE_RULES,
)

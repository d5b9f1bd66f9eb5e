"""The ``libvirt:`` block's rules between fields: what no declaration can state. Data in, faults out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ovtasks.machine.devices import DEVICES
from ovtasks.machine.tree import Faults, Tree

# What QEMU's timers can do about ticks that were missed.
TICKS = {"rtc": ("delay", "catchup"), "hpet": ("delay",)}


def block_rules(block: Tree) -> Faults:
    """Every violation. A value that cannot be is not in the tree; its own complaint stands beside these."""
    for rule in RULES:
        yield from rule(block)
    for device in DEVICES:
        yield from device.rules(device.found(block.block("devices")), block)


def cpu_count_rules(tree: Tree, cpus: int) -> Faults:
    """What the number of processors must fit."""
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
        if "unit" in cell and cell.has("memory"):  # a bare number has taken it
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
    users = tree.block("cputune").items("iothreadpin")
    for device in DEVICES:
        users += [one.block("driver") for one in device.found(tree.block("devices"))]
    for user in users:
        number = user.number("iothread")
        if number is not None and number > threads:
            many = f"there are {threads}" if threads else "there are none"
            yield user.fault(f"is {number}, but {many}", f"iothreads: {number} in libvirt", "iothread")


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


def boot_rules(tree: Tree) -> Faults:
    """One place in the order, one device."""
    taken: dict[str, str] = {}
    for device in DEVICES:
        for one in device.found(tree.block("devices")):
            place = one.text("boot")
            if place is not None and place in taken:
                yield one.fault(f": place {place} is taken by {taken[place]}", "another number", "boot")
            elif place is not None:
                taken[place] = f"{device.name}[{one.place[-1]}]"


RULES: tuple[Callable[[Tree], Faults], ...] = (
    cpu_rules,
    feature_rules,
    clock_rules,
    tuning_rules,
    label_rules,
    boot_rules,
)

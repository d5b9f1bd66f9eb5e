"""``libvirt.cpu``: the processor, and the guest's NUMA cells.

QEMU lists the names of its properties: qemu-system-x86_64 -cpu help.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.kinds import CPUSET, KIB, NUMBER, ON_OFF, POSITIVE, WORD, YES_NO, one_of
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree, twice
from ovtasks.values.arch import slow_features

CUSTOM = {"mode": ("custom",)}
CPU_MODES = ("host-passthrough", "host-model", "maximum", "custom")

CPU = Block(
    "cpu",
    "The processor.",
    {
        "mode": Field(
            one_of(*CPU_MODES),
            "@mode",
            "Default: custom with a model; else host-passthrough under KVM, maximum under emulation.",
        ),
        "check": Field(
            one_of("none", "partial", "full"), "@check", "How exactly the processor must match.", default="none"
        ),
        "migratable": Field(
            ON_OFF,
            "@migratable",
            "Only features that survive a migration.",
            only={"mode": ("host-passthrough", "maximum")},
            qemu="kvm",
        ),
        "model": Field(WORD, "model", "The model's name, with mode custom.", fixed={"fallback": "forbid"}, only=CUSTOM),
        "topology": Block(
            "topology",
            "The product of its values is the number of processors (cpus).",
            {
                "sockets": Field(POSITIVE, "@sockets", "Sockets.", default="1"),
                "dies": Field(POSITIVE, "@dies", "Dies of a socket.", assumed="1"),
                "cores": Field(POSITIVE, "@cores", "Cores of a die.", default="1"),
                "threads": Field(POSITIVE, "@threads", "Threads of a core.", default="1"),
            },
        ),
        "cache": Block(
            "cache",
            "The processor's cache as the guest sees it.",
            {
                "level": Field(one_of("3"), "@level", "With mode emulate: always 3.", assumed="3"),
                "mode": Field(
                    one_of("emulate", "passthrough", "disable"), "@mode", "Where it comes from.", required=True
                ),
            },
            qemu="never",
        ),
        "features": Items(
            Block(
                "feature",
                "Single features.",
                {
                    "policy": Field(
                        one_of("force", "require", "optional", "disable", "forbid"),
                        "@policy",
                        "How to treat the feature.",
                        default="require",
                    ),
                    "name": Field(WORD, "@name", "Its name, such as vmx.", required=True),
                },
            )
        ),
        "numa": Items(
            Block(
                "numa/cell",
                "NUMA cells of the guest.",
                {
                    "id": Field(NUMBER, "@id", "Its number; default: counted from 0."),
                    "cpus": Field(CPUSET, "@cpus", "Its processors."),
                    "memory": Field(
                        KIB,
                        "@memory",
                        "Its memory; a number without a unit counts in unit.",
                        required=True,
                        fixed={"unit": "KiB"},
                    ),
                    "unit": Field(
                        one_of("KiB", "MiB", "GiB", other={"K": "KiB", "M": "MiB", "G": "GiB", "k": "KiB"}),
                        "@memory",
                        "The unit of memory without a unit.",
                        assumed="KiB",
                        computed=True,
                    ),
                    "memaccess": Field(one_of("shared", "private"), "@memAccess", "Who may map it."),
                    "discard": Field(YES_NO, "@discard", "Discard its contents when the VM ends."),
                },
                suffix={"memory": "unit"},
            )
        ),
    },
)

_TOPOLOGY = ("sockets", "dies", "cores", "threads")
_POLICIES = {"force": "on", "require": "on", "optional": "on", "disable": "off", "forbid": "off"}
_NESTED = {"Intel": "vmx", "AMD": "svm"}
"""What each vendor of processors calls nested virtualisation."""


def rules(tree: Tree) -> Faults:
    """Mode custom has a model, no feature or cell stands twice, cells are counted from 0."""
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
        if "unit" in cell and cell.has("memory"):  # with a bare number, the unit is gone: it was appended
            yield cell.fault("has no effect: memory has a unit", "remove it", "unit")


def count_rules(tree: Tree, cpus: int) -> Faults:
    """Topology, cells and pins fit the number of processors."""
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


def complete(machine: Machine, wanted: Tree) -> Tree:
    """The processor with its default mode and the features that the machine needs.

    :raises InputError: the mode needs KVM, and the VM is emulated."""
    path = ("libvirt", "cpu", "mode")
    kvm = machine.accel == "kvm"
    mode = wanted.text("mode") or ("custom" if wanted.text("model") else "host-passthrough" if kvm else "maximum")
    if not kvm and mode in {"host-passthrough", "host-model"}:
        hint = "remove libvirt.cpu.mode, or see `ov doctor` for what KVM lacks"
        raise InputError(f"libvirt.cpu.mode {mode} needs KVM, and this VM is emulated", hint=hint, field=path)
    features = wanted.items("features")
    known = {one.text("name") for one in features}
    slow = slow_features(machine.arch, machine.accel) if mode == "maximum" else ()
    features += [Tree({"policy": "disable", "name": name}) for name in slow if name not in known]
    cache = wanted.block("cache")
    if cache.text("mode") == "emulate":
        wanted = wanted.put(cache=cache.over(level="3"))
    return wanted.put(mode=mode, features=features)


def lacks(block: Tree, host: HostFeatures, accel: str) -> Iterator[InputError]:
    """Errors for the other vendor's word: nested virtualisation is vmx at Intel, svm at AMD."""
    own = _NESTED.get(host.vendor or "")
    if own is None or accel != "kvm":
        return
    for feature in block.block("cpu").items("features"):
        name, policy = feature.text("name"), feature.text("policy")
        if name in _NESTED.values() and name != own and policy not in {"disable", "forbid"}:
            problem = f"{name}: this host's processor is {host.vendor}'s"
            yield lacking((*feature.place, "name"), problem, f"name: {own}")


def finish(element: ET.Element, wanted: Tree) -> None:
    """A custom model must match exactly."""
    if wanted.text("mode") == "custom":
        element.set("match", "exact")


def words(block: Tree, to: Command) -> None:
    """Say the processor in QEMU's words.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    mode, model = block.text("mode"), block.text("model")
    if mode == "custom" and model is None:
        raise block.refuse("mode", "custom needs a model (qemu-system-x86_64 -cpu help)")
    if model is not None and mode not in {None, "custom"}:
        raise block.refuse("model", f"mode {mode} has no model")
    # host-passthrough and host-model: all that the accelerator can do
    to.model = "max" if mode == "maximum" and to.kvm else model
    check = block.text("check")
    to.cpu |= {"partial": {"check": "on"}, "full": {"enforce": "on"}}.get(check or "", {}) if to.pc else {}
    if (migratable := block.text("migratable")) is not None:
        if not (to.pc and to.kvm):
            raise block.refuse("migratable", "it is a property of PCs under KVM")
        to.cpu["migratable"] = migratable
    for item in block.items("features"):
        name = item.text("name") or ""
        to.cpu[name] = _POLICIES[item.text("policy") or "require"]
    _topology(block.block("topology"), to)


def _topology(block: Tree, to: Command) -> None:
    found = {name: block.number(name) for name in _TOPOLOGY}
    if all(number is None for number in found.values()):
        return
    product = 1
    for number in found.values():
        product *= number or 1
    if product != to.machine.cpus:
        hint = f"cpus: {product}, or sockets × dies × cores × threads = {to.machine.cpus}"
        raise block.error(f"it makes {product} processors, and the VM has {to.machine.cpus}", hint)
    to.topology |= {name: number if number is not None else 1 for name, number in found.items() if number != 1}

"""The table of the ``libvirt:`` block against QEMU's command line: no field, no value of one, is silently ignored."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.field import without_libvirt
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.command import QemuFeatures
from ovtasks.machine.qemu.families import command
from ovtasks.machine.table import LIBVIRT
from tests.machine.walk import Case, cases, leaves, machine_of

REFUSED = frozenset(name for name, when in without_libvirt(LIBVIRT) if when == "never")
NEEDS_KVM = frozenset(name for name, when in without_libvirt(LIBVIRT) if when == "kvm")
NEEDS_TCG = frozenset(name for name, when in without_libvirt(LIBVIRT) if when == "tcg")


class _All(frozenset[str]):
    """Every device there may be."""

    def __contains__(self, name: object) -> bool:
        return True


HOST = QemuFeatures("/usr/bin/qemu-system-x86_64", (9, 2), True, True, True, True, _All())
# Fields that say what is so anyhow: QEMU has nothing else, and the table nothing else either.
FIXED = frozenset(
    {
        "devices.usb.index",  # controllers are named in the order they stand in
        "devices.vsock",  # a VM has one wherever that is possible
        "devices.video.vram",  # the sample's card has none, and libvirt passes none on
        "devices.hostdevs.driver.name",  # there is only vfio
        "devices.tpm.backend.persistent_state",  # the folder that keeps it is the VM's
        "devices.disks.driver.name",
        "devices.hostdevs.mode",
        "devices.redirdev.bus",
        "devices.hub.type",
        "devices.panic.address.type",
        "devices.crypto.model",
        "devices.crypto.type",
    }
)


def suited(case: Case) -> dict[str, Any]:
    """The spec, with what QEMU alone wants besides."""
    spec = copy.deepcopy(case.spec)
    devices = spec.get("devices", {})
    for disk in devices.get("disks", ()):
        for name in [*disk.get("iotune", {})]:
            first = name.partition("_max")[0]
            more = {first: 1, f"{first}_max": 2} if name.endswith("_length") else {first: 1} if "_max" in name else {}
            disk["iotune"] = {**disk["iotune"], **more}
    for kind in ("serial", "console", "parallel"):
        for item in devices.get(kind, ()):
            if "append" in item.get("source", {}):
                item |= {"type": "file", "source": {"path": "/x", **item["source"]}}
    if "mode" in (memory := spec.get("numatune", {}).get("memory", {})):
        memory.setdefault("nodeset", "0")
    if str(spec.get("launch_security", {}).get("type")).startswith("sev"):
        spec["launch_security"] = {"cbitpos": 47, "reduced_phys_bits": 1, **spec["launch_security"]}
    return spec


def suited_machine(case: Case, accel: str) -> Machine:
    """Its memory is that of its cells."""
    spec = suited(case)
    of = replace(machine_of(case), libvirt=spec, cid=70000, accel=accel)
    cells = spec.get("cpu", {}).get("numa", ())
    sizes = {"1G": 1 << 30, 2048: 2 << 20, "4 MiB": 4 << 20}
    units = {"K": 1, "M": 1 << 10, "G": 1 << 20}
    found = sum(sizes[cell["memory"]] * units[str(cell.get("unit", "K"))[0].upper()] for cell in cells)
    return replace(of, ram=found) if found else of


def outcome(case: Case, accel: str) -> tuple[str, list[str]]:
    """All that comes of a case as text, and the messages about what is refused."""
    try:
        made = command(suited_machine(case, accel), HOST)
        text = repr((argv_of(made), made.helpers, made.secrets, made.pins, made.thread_pins))
    except InputErrors as e:
        assert all(error.hint for error in e.errors)
        return "", [error.message for error in e.errors]
    except InputError as e:
        assert e.hint
        return "", [e.message]
    return text, []


@pytest.mark.parametrize(("arch", "kind"), [("aarch64", "virt"), ("x86_64", "pc")])
def test_other_machines_refuse_by_name_too(arch: str, kind: str) -> None:
    refused = 0
    for leaf in leaves():
        for case in cases(leaf):
            try:
                argv_of(command(replace(suited_machine(case, "tcg"), arch=arch, machine=kind), HOST))
            except InputError as e:
                assert all(one.hint for one in (e.errors if isinstance(e, InputErrors) else [e])), case
                refused += 1
    assert refused > len(REFUSED)


def related(message: str, name: str) -> bool:
    """Whether an error names the field, or a block or a field beside it that rules it out."""
    named = message.split(" ", 1)[0].rstrip(":").replace("[0]", "").removeprefix("libvirt.")
    parts = name.split(".")
    return any(named.startswith(".".join(parts[:n])) for n in range(1, len(parts) + 1)) or named in name


@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_a_value_is_in_the_command_line_or_refused_by_name(accel: str) -> None:
    silent, never = [], set()
    for leaf in leaves():
        texts: set[str] = set()
        refused, found = 0, list(cases(leaf))
        for case in found:
            text, errors = outcome(case, accel)
            refused += bool(errors)
            assert not errors or any(related(error, leaf.name) for error in errors), (leaf.name, case.value, errors)
            texts |= {text} if text else set()
            if text and isinstance(case.value, str) and case.value in text:
                texts.add("its own text")
        if refused < len(found) and len(texts) + bool(refused) < 2 and leaf.name not in FIXED:
            silent.append(leaf.name)
        if refused == len(found):
            never.add(leaf.name)
    assert silent == [], "\n".join(silent)
    assert never == REFUSED | (NEEDS_KVM if accel == "tcg" else NEEDS_TCG)

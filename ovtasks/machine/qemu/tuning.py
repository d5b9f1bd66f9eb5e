"""``iothreads``, ``cputune``, ``sysinfo``, ``launch_security``: what stands beside the devices."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ovtasks.errors import InputError
from ovtasks.machine.qemu.command import Command, numbers, switched
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Tree

# Number of the SMBIOS table, and libvirt's names that are not QEMU's (qemu(1), -smbios)
_TABLES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "bios": (0, ("vendor", "version", "date", "release")),
    "system": (1, ("manufacturer", "product", "version", "serial", "sku", "family")),
    "baseboard": (2, ("manufacturer", "product", "version", "serial", "asset", "location")),
    "chassis": (3, ("manufacturer", "version", "serial", "asset", "sku")),
}
OEM_STRINGS = 11
_SEV = {"sev": "0x3", "sev-es": "0x7", "sev-snp": "0x30000"}


def iothreads(count: int | None, to: Command) -> None:
    """:raises InputError: a disk names one that is not there."""
    for number in range(1, (count or 0) + 1):
        to.early += ("-object", option("iothread", id=f"iothread{number}"))


def check_iothreads(count: int | None, to: Command) -> None:
    for word in to.words:
        for part in word.split(","):
            if part.startswith("iothread=iothread") and int(part.removeprefix("iothread=iothread")) > (count or 0):
                number = part.removeprefix("iothread=iothread")
                raise InputError(f"libvirt.iothreads: there is no I/O thread {number}", hint=f"iothreads: {number}")


def pinning(block: Tree, to: Command) -> None:
    """Threads of QEMU that stay on CPUs of the host: the guest's CPUs, and I/O threads. The rest is of cgroups."""
    for item in block.items("vcpupin"):
        number = item.number("vcpu") or 0
        if number >= to.machine.cpus:
            raise item.refuse("vcpu", f"the VM has {to.machine.cpus} processors, from 0 on", hint="cpus: more")
        to.pins[number] = frozenset(numbers(item.text("cpuset") or ""))
    for item in block.items("iothreadpin"):
        to.thread_pins[item.number("iothread") or 0] = frozenset(numbers(item.text("cpuset") or ""))


def sysinfo(block: Tree, to: Command) -> None:
    block.text("type")
    for name, (number, keys) in _TABLES.items():
        tables = block.items(name) if name == "baseboard" else [block.block(name)] if name in block else []
        for table in tables:
            release = table.peek("release") if name == "bios" else None
            if release is not None and not re.fullmatch(r"\d{1,3}\.\d{1,3}", release, re.ASCII):
                raise table.refuse("release", f"'{release}' is no release", hint="two numbers, such as 4.2")
            if values := {key: text for key in keys if (text := table.text(key)) is not None}:
                to.add("smbios", **{"type": number, **values})
    for word in block.texts("oem_strings"):
        to.add("smbios", type=OEM_STRINGS, value=word)
    for entry in block.items("entries"):
        file, value = entry.text("file"), entry.text("value")
        if (file is None) == (value is None):
            raise entry.error("it has neither or both of file and value", "one of them")
        to.add("fw_cfg", name=entry.text("name"), file=file, string=value)


def launch_security(block: Tree, to: Command) -> None:
    """AMD's SEV, as far as QEMU needs no files of the guest's owner for it."""
    if "type" not in block:
        return
    kind = block.text("type") or ""
    if kind not in _SEV:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    if not to.kvm:
        raise block.refuse("type", f"{kind} needs KVM", hint="ov doctor says what KVM lacks")
    values: dict[str, object] = {
        "cbitpos": block.text("cbitpos"),
        "reduced-phys-bits": block.text("reduced_phys_bits"),
        "policy": block.text("policy") or _SEV[kind],
        "kernel-hashes": switched(block.text("kernel_hashes")),
    }
    for key in ("cbitpos", "reduced_phys_bits"):
        if key not in block:
            raise block.missing(key, "virsh domcapabilities shows it on the host")
    model = "sev-snp-guest" if kind == "sev-snp" else "sev-guest"
    to.early += ("-object", option(model, id="sev0", **values))
    to.properties["confidential-guest-support"] = "sev0"

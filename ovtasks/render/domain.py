"""A machine → libvirt's domain XML. Pure: the same machine and host give the same bytes.

Format: libvirt's documentation, "Domain XML format". What comes out is accepted by libvirt 9.0 and newer.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.render.devices import HostFeatures, add_devices, items, mapping, sub, user_network_arguments, value
from ovtasks.render.libvirt_fields import Read, read
from ovtasks.render.machine import Boot, Machine
from ovtasks.render.smbios import FW_CFG
from ovtasks.render.xml_merge import merge
from ovtasks.spec.model import Firmware
from ovtasks.spec.xml_names import QEMU_NAMESPACE
from ovtasks.spec.xml_rules import FIELDS as XML_FIELDS

__all__ = ["NAMESPACE", "QEMU_NAMESPACE", "HostFeatures", "domain_xml"]

NAMESPACE = "https://ovtasks.invalid/ns/1"
"""Of our element in ``<metadata>``: whose domain it is."""

_X86 = frozenset({"x86_64", "i686"})
_KIB = 1024
# XML 1.0, "Characters": what no document can hold, not even as a reference
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def domain_xml(machine: Machine, host: HostFeatures) -> str:
    """The ``<domain>``, indented, without an XML declaration.

    :raises InputError: the spec's ``libvirt:`` has a field that is not supported or that the host lacks, a path has a
        character that XML cannot hold, or the machine's snippets do not fit.
    """
    wanted = read({key: item for key, item in machine.libvirt.items() if key not in XML_FIELDS})
    arguments = tuple(user_network_arguments(machine.nic))
    domain = ET.Element("domain", {"type": "kvm" if machine.accel == "kvm" else "qemu"})
    if arguments:
        domain.set("xmlns:qemu", QEMU_NAMESPACE)
    _identity(domain, machine)
    memory = str(machine.ram // _KIB)
    sub(domain, "memory", {"unit": "KiB"}, memory)
    sub(domain, "currentMemory", {"unit": "KiB"}, memory)
    sub(domain, "vcpu", {"placement": "static"}, str(machine.cpus))
    _sysinfo(domain, machine)
    _os(domain, machine, mapping(wanted, "devices"))
    _features(domain, machine, mapping(wanted, "features"))
    _cpu(domain, machine, mapping(wanted, "cpu"))
    sub(domain, "clock", {"offset": "utc"})
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        sub(domain, event, text=action)
    add_devices(domain, machine, host, mapping(wanted, "devices"))
    if arguments:
        command = sub(domain, "qemu:commandline")
        for argument in arguments:
            sub(command, "qemu:arg", {"value": argument})
    _refuse_not_xml(domain)
    merge(domain, machine.snippets)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def _identity(domain: ET.Element, machine: Machine) -> None:
    """Names are written with their prefix, not in ElementTree's ``{uri}`` form: so the declaration stays where it is
    read back from, on our own element."""
    sub(domain, "name", text=machine.domain)
    sub(domain, "uuid", text=machine.uuid)
    sub(domain, "title", text=machine.vm + (f" ({machine.instance})" if machine.instance else ""))
    disposable = None if machine.disposable is None else str(machine.disposable).lower()
    attributes = {
        "xmlns:ov": NAMESPACE,
        "name": machine.vm,
        "instance": machine.instance,
        "project": str(machine.project),
        "disposable": disposable,
        "lifecycle": machine.lifecycle,
    }
    sub(sub(domain, "metadata"), "ov:vm", attributes)


def _sysinfo(domain: ET.Element, machine: Machine) -> None:
    """libvirt doubles the commas of the strings itself, but not (9.0) those of a file's name."""
    if machine.told:
        strings = sub(sub(domain, "sysinfo", {"type": "smbios"}), "oemStrings")
        for text in machine.told:
            sub(strings, "entry", text=text)
    if machine.credentials:
        files = sub(domain, "sysinfo", {"type": "fwcfg"})
        for name, path in sorted(machine.credentials.items()):
            if "," in str(path):
                raise InputError(f"libvirt cannot pass on {path}", hint="choose a folder without a comma in its name")
            sub(files, "entry", {"name": f"{FW_CFG}{name}", "file": str(path)})


def _os(domain: ET.Element, machine: Machine, devices: Read) -> None:
    boot = machine.boot
    os = sub(domain, "os", {"firmware": "efi" if boot.auto and boot.firmware is not Firmware.BIOS else None})
    sub(os, "type", {"arch": machine.arch, "machine": machine.machine}, "hvm")
    if boot.firmware is not Firmware.BIOS:
        _firmware(os, boot)
    sub(os, "boot", {"dev": "hd"})
    if boot.firmware is Firmware.BIOS and machine.arch in _X86 and not items(devices, "video"):
        # else a BIOS, its "No bootable device" too, speaks to a screen that nobody has
        sub(os, "bios", {"useserial": "yes"})
    if machine.told:
        sub(os, "smbios", {"mode": "sysinfo"})  # without it the strings never reach the guest


def _firmware(os: ET.Element, boot: Boot) -> None:
    """One way to name the firmware, never both: libvirt's selection by features, or the files."""
    secure = boot.firmware is Firmware.UEFI_SECURE
    if boot.auto:
        features = sub(os, "firmware")
        if secure:
            sub(features, "feature", {"enabled": "yes", "name": "enrolled-keys"})
        sub(features, "feature", {"enabled": "yes" if secure else "no", "name": "secure-boot"})
        if boot.nvram is not None:
            sub(os, "nvram", text=str(boot.nvram))
        return
    code = {
        "readonly": "yes",
        "secure": "yes" if boot.smm else "no",
        "type": "pflash",
        "format": _format(boot.code_format),
    }
    sub(os, "loader", code, str(boot.code))
    if boot.nvram is not None:
        template = str(boot.template) if boot.template is not None else None
        sub(os, "nvram", {"template": template, "format": _format(boot.nvram_format)}, str(boot.nvram))


def _format(name: str) -> str | None:
    """libvirt 9.0 knows no format but raw, nor the attribute."""
    return None if name == "raw" else name


def _features(domain: ET.Element, machine: Machine, wanted: Read) -> None:
    x86 = machine.arch in _X86
    smm = value(wanted, "smm")
    if machine.boot.smm:
        if smm == "off":
            hint = "remove libvirt.features.smm, or choose uefi-insecure"
            raise InputError("firmware uefi-secure needs SMM, but libvirt.features.smm turns it off", hint=hint)
        smm = "on"
    features = sub(domain, "features")
    present = {"acpi": value(wanted, "acpi") or "on", "apic": value(wanted, "apic") or ("on" if x86 else "off")}
    for name, state in {**present, "pae": value(wanted, "pae")}.items():
        if state == "on":
            sub(features, name)
    switches = {name: value(wanted, name) for name in ("hap", "vmport", "pmu")}
    for name, state in {"smm": smm, **switches}.items():
        if state is not None:
            sub(features, name, {"state": state})


def _cpu(domain: ET.Element, machine: Machine, wanted: Read) -> None:
    mode, model = value(wanted, "mode"), value(wanted, "model")
    mode = mode or ("custom" if model else "host-passthrough" if machine.accel == "kvm" else "maximum")
    if machine.accel != "kvm" and mode in {"host-passthrough", "host-model"}:
        hint = "remove libvirt.cpu.mode, or see `ov doctor` for what KVM lacks"
        raise InputError(f"libvirt.cpu.mode {mode} needs KVM, and this VM is emulated", hint=hint)
    if mode == "custom":
        if model is None:
            raise InputError("libvirt.cpu.model is missing: mode custom needs it", hint="model: qemu64")
        cpu = sub(domain, "cpu", {"mode": mode, "match": "exact", "check": "none"})
        sub(cpu, "model", {"fallback": "forbid"}, model)
        return
    if model is not None:
        hint = "mode: custom, or remove the model"
        raise InputError(f"libvirt.cpu.model has no effect in mode {mode}", hint=hint)
    cpu = sub(domain, "cpu", {"mode": mode, "check": "none"})
    if machine.accel != "kvm" and machine.arch == "x86_64":
        sub(cpu, "feature", {"policy": "disable", "name": "la57"})  # 5-level paging costs a third under emulation


def _refuse_not_xml(domain: ET.Element) -> None:
    for element in domain.iter():
        for text in (element.text or "", *element.attrib.values()):
            if _NOT_XML.search(text):
                message = f"{text!r} has a character that XML cannot hold"
                raise InputError(message, hint="choose a name or path without control characters")

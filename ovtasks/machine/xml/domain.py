"""A machine → libvirt's domain XML. Pure: the same machine and host give the same bytes.

Format: libvirt's documentation, "Domain XML format". libvirt 9.0 and newer accept the result.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.blocks import cpu, security, sysinfo
from ovtasks.machine.complete import complete
from ovtasks.machine.device import Site
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.devices.memory import MEMORY, size_of
from ovtasks.machine.devices.video import VIDEO
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.host_check import check
from ovtasks.machine.machine import Boot, Machine
from ovtasks.machine.outside import check_sockets
from ovtasks.machine.read import block_of
from ovtasks.machine.table import LIBVIRT
from ovtasks.machine.tree import Tree
from ovtasks.machine.xml.devices import add_devices
from ovtasks.machine.xml.merge import merge
from ovtasks.machine.xml.names import QEMU_NAMESPACE
from ovtasks.machine.xml.place import ensure, fill, put, sub
from ovtasks.values.arch import arch_of
from ovtasks.values.firmware import Firmware
from ovtasks.values.words import dotted

__all__ = ["NAMESPACE", "QEMU_NAMESPACE", "HostFeatures", "domain_xml"]

NAMESPACE = "https://ovtasks.invalid/ns/1"
"""The namespace of our element in ``<metadata>``, which says whose domain it is."""

_BEFORE = ("iothreads", "cputune", "memtune", "numatune", "memory_backing")
_AFTER = ("seclabel", "launch_security", "sysinfo", "resource")
"""Parts of the block, in libvirt's order."""
_KIB = 1024
# XML 1.0, "Characters": no document can hold these, not even as references
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def domain_xml(machine: Machine, host: HostFeatures) -> str:
    """The ``<domain>``, indented, without an XML declaration.

    :raises InputError: the spec's ``libvirt:`` has a field that is not supported or that the host lacks, a path has a
        character that XML cannot hold, or the machine's snippets do not fit.
    """
    done = _completed(machine, host)
    wanted = done.tree
    devices = wanted.block("devices")
    site = Site(machine, host, done)
    extra = tuple(word for device in DEVICES for word in device.arguments(device.found(devices), site))
    domain = ET.Element("domain", {"type": "kvm" if machine.accel == "kvm" else "qemu"})
    if extra:
        domain.set("xmlns:qemu", QEMU_NAMESPACE)
    _identity(domain, machine)
    memory = str(machine.ram // _KIB)
    if more := [size_of(one) for one in MEMORY.found(devices)]:
        most = str(machine.ram // _KIB + sum(more))
        sub(domain, "maxMemory", {"slots": str(len(more)), "unit": "KiB"}, most)
    sub(domain, "memory", {"unit": "KiB"}, memory)
    sub(domain, "currentMemory", {"unit": "KiB"}, memory)
    sub(domain, "vcpu", {"placement": "static"}, str(machine.cpus))
    _blocks(domain, wanted, *_BEFORE)
    tables = sysinfo.elements(domain, machine, wanted.block("sysinfo"))
    _os(domain, machine, done, tables)
    _blocks(domain, wanted, "features", "cpu", "clock")
    cpu.finish(ensure(domain, "cpu"), wanted.block("cpu"))
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        sub(domain, event, text=action)
    add_devices(domain, site)
    _blocks(domain, wanted, *_AFTER)
    if "launch_security" in wanted:
        security.finish(ensure(domain, "launchSecurity"), wanted.block("launch_security"))
    if extra:
        command = sub(domain, "qemu:commandline")
        for argument in extra:
            sub(command, "qemu:arg", {"value": argument})
    _refuse_not_xml(domain)
    merge(domain, machine.snippets)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def notes(machine: Machine) -> tuple[str, ...]:
    """What :func:`domain_xml` adds because other fields need it, in words for people.

    :raises InputError: as there, except for what the host lacks.
    """
    return tuple(complete(machine, block_of(machine)).notes)


def _completed(machine: Machine, host: HostFeatures) -> Draft:
    wanted = block_of(machine)
    for fault in cpu.count_rules(wanted, machine.cpus):
        raise InputError(fault.message, hint=fault.hint, field=fault.path)
    check(wanted, host, machine.accel)
    check_sockets(wanted)
    done = complete(machine, wanted)
    if done.spice_for is not None and "spice" not in host.known.get("devices/graphics/type", ()):
        message = f"{dotted(done.spice_for)} goes through SPICE, which QEMU here has not"
        raise InputError(message, hint=f"{package_hint('qemu-spice')}, or remove it", field=done.spice_for)
    return done


def _blocks(domain: ET.Element, wanted: Tree, *names: str) -> None:
    """Add the children of ``<domain>`` that the table describes."""
    for name in names:
        node = LIBVIRT.fields[name]
        if name in wanted and isinstance(node, Field):
            put(domain, node, wanted.text(name) or "")
        elif name in wanted and isinstance(node, Block) and not node.computed and (wanted.block(name) or node.bare):
            fill(ensure(domain, node.at), node, wanted.block(name))


def _identity(domain: ET.Element, machine: Machine) -> None:
    """Add the names, and our own element.

    Its name has a prefix instead of ElementTree's ``{uri}``: so the namespace is declared on the element itself, where
    we read it back from."""
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


def _os(domain: ET.Element, machine: Machine, done: Draft, tables: bool) -> None:
    boot, devices = machine.boot, done.tree.block("devices")
    os = sub(domain, "os", {"firmware": "efi" if boot.auto and boot.firmware is not Firmware.BIOS else None})
    sub(os, "type", {"arch": machine.arch, "machine": machine.machine}, "hvm")
    if boot.firmware is not Firmware.BIOS:
        _firmware(os, boot)
    if done.root_boot is None:
        sub(os, "boot", {"dev": "hd"})
    if boot.firmware is Firmware.BIOS and arch_of(machine.arch).bios and not VIDEO.found(devices):
        # without a screen, a BIOS (with its "No bootable device") must speak to the serial port
        sub(os, "bios", {"useserial": "yes"})
    if tables:
        sub(os, "smbios", {"mode": "sysinfo"})  # without it the strings never reach the guest


def _firmware(os: ET.Element, boot: Boot) -> None:
    """Name the firmware in one of two ways: by the features that libvirt selects by, or by its files."""
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
    """None for raw: libvirt 9.0 knows only that format, and no attribute for it."""
    return None if name == "raw" else name


def _refuse_not_xml(domain: ET.Element) -> None:
    for element in domain.iter():
        for text in (element.text or "", *element.attrib.values()):
            if _NOT_XML.search(text):
                message = f"{text!r} has a character that XML cannot hold"
                raise InputError(message, hint="choose a name or path without control characters")

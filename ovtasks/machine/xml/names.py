"""The elements that libvirt documents: children of ``<domain>``. Devices have a list of their own.

Source: libvirt's documentation, "Domain XML format", and its schema ``domaincommon.rng`` (up to libvirt 11).
"""

from __future__ import annotations

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
"""libvirt's documentation, "QEMU/KVM hypervisor driver": what it passes on to QEMU. Always with the prefix ``qemu``."""

QEMU_ELEMENTS = frozenset({"qemu:capabilities", "qemu:commandline", "qemu:deprecation", "qemu:override"})

DOMAIN_ORDER = (
    *("name", "uuid", "genid", "hwuuid", "title", "description", "metadata", "maxMemory", "memory", "currentMemory"),
    *("blkiotune", "memtune", "memoryBacking", "vcpu", "vcpus", "iothreads", "iothreadids", "defaultiothread"),
    *("cputune", "numatune", "throttlegroups", "resource", "sysinfo", "bootloader", "bootloader_args", "os", "idmap"),
    *("features", "cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "on_lockfailure", "pm", "perf", "keywrap"),
    *("datacenterpath", "devices", "seclabel", "launchSecurity"),
)
"""As libvirt writes them: its schema would take any order, but libxml2 then refuses some."""
DOMAIN_ELEMENTS = frozenset(DOMAIN_ORDER)

"""The children of ``<domain>`` that libvirt documents. Devices have a list of their own.

Source: libvirt's documentation, "Domain XML format", and its schema ``domaincommon.rng`` (up to libvirt 11).
"""

from __future__ import annotations

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
"""Of what libvirt passes on to QEMU (see its "QEMU/KVM hypervisor driver"). The prefix is always ``qemu``."""

QEMU_ELEMENTS = frozenset({"qemu:capabilities", "qemu:commandline", "qemu:deprecation", "qemu:override"})

DOMAIN_ORDER = (
    *("name", "uuid", "genid", "hwuuid", "title", "description", "metadata", "maxMemory", "memory", "currentMemory"),
    *("blkiotune", "memtune", "memoryBacking", "vcpu", "vcpus", "iothreads", "iothreadids", "defaultiothread"),
    *("cputune", "numatune", "throttlegroups", "resource", "sysinfo", "bootloader", "bootloader_args", "os", "idmap"),
    *("features", "cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "on_lockfailure", "pm", "perf", "keywrap"),
    *("datacenterpath", "devices", "seclabel", "launchSecurity"),
)
"""The order in which libvirt writes them. Its schema allows any order, but libxml2 then refuses some."""
DOMAIN_ELEMENTS = frozenset(DOMAIN_ORDER)

"""The table of the whole ``libvirt:`` block. The order of its fields is the order of the elements in the XML."""

from __future__ import annotations

from ovtasks.machine.blocks import clock, cpu, features, memory, security, sysinfo, tuning
from ovtasks.machine.devices import DEVICES as KINDS
from ovtasks.machine.field import Block, Field, Words
from ovtasks.machine.kinds import PATH, text

DEVICES = Block(
    "devices",
    "The VM's devices, in addition to its disk, its seed, its first network interface and its console.",
    {
        "emulator": Field(PATH, "emulator", "QEMU's path; default: libvirt's choice.", qemu="never"),
        **{kind.name: kind.rows for kind in KINDS},
    },
)

_XML = text(r"[^\s]", "XML", "is empty", ("<watchdog model='i6300esb'/>",))

LIBVIRT = Block(
    "",
    "libvirt's own settings, read by create. Paths may hold ${vm.dir}, ${vm.name}, ${vm.sockets}, ${vm.project}.",
    {
        "iothreads": tuning.IOTHREADS,
        "cputune": tuning.CPUTUNE,
        "memtune": tuning.MEMTUNE,
        "numatune": memory.NUMATUNE,
        "memory_backing": memory.MEMORY_BACKING,
        "features": features.FEATURES,
        "cpu": cpu.CPU,
        "clock": clock.CLOCK,
        "devices": DEVICES,
        "seclabel": security.SECLABEL,
        "launch_security": security.LAUNCH_SECURITY,
        "sysinfo": sysinfo.SYSINFO,
        "resource": tuning.RESOURCE,
        "snippets": Words(
            _XML,
            "",
            "XML to merge into the domain: devices, or children of <domain>.",
            computed=True,
            qemu="never",
        ),
        "xml_passthrough": Field(
            _XML, "", "One text of such XML, also a whole <devices>, merged last.", computed=True, qemu="never"
        ),
    },
)

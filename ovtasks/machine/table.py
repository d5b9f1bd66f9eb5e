"""The table of the whole ``libvirt:`` block. The order of its fields is the order of the elements in the XML."""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Words
from ovtasks.machine.kinds import PATH, text
from ovtasks.machine.rows import (
    cards,
    characters,
    disks,
    displays,
    host_devices,
    machine_rows,
    memory_rows,
    others,
    tuning_rows,
)

DEVICES = Block(
    "devices",
    "The VM's devices, besides its disk, its seed, its first network card and its console.",
    {
        "emulator": Field(PATH, "emulator", "QEMU's path; default: libvirt's choice."),
        "controllers": others.CONTROLLERS,
        "usb": others.USB,
        "disks": disks.DISKS,
        "filesystems": host_devices.FILESYSTEMS,
        "interfaces": cards.INTERFACES,
        "serial": characters.SERIAL,
        "console": characters.CONSOLE,
        "parallel": characters.PARALLEL,
        "channels": characters.CHANNELS,
        "smartcard": characters.SMARTCARDS,
        "inputs": displays.INPUTS,
        "graphics": displays.GRAPHICS,
        "audio": displays.AUDIO,
        "sound": displays.SOUND,
        "video": displays.VIDEO,
        "hostdevs": host_devices.HOSTDEVS,
        "redirdev": characters.REDIRDEV,
        "hub": others.HUB,
        "tpm": others.TPM,
        "watchdog": others.WATCHDOG,
        "rng": others.RNG,
        "memballoon": others.MEMBALLOON,
        "panic": others.PANIC,
        "shmem": others.SHMEM,
        "iommu": others.IOMMU,
        "vsock": others.VSOCK,
        "memory": memory_rows.MEMORY,
        "leases": memory_rows.LEASES,
        "crypto": others.CRYPTO,
    },
)

_XML = text(r"[^\s]", "XML", "is empty", ("<watchdog model='i6300esb'/>",))

LIBVIRT = Block(
    "",
    "libvirt's own settings, read by create. Paths may hold ${vm.dir}, ${vm.name}, ${vm.sockets}, ${vm.project}.",
    {
        **tuning_rows.TUNING,
        **machine_rows.MACHINE,
        "devices": DEVICES,
        **tuning_rows.AFTER_DEVICES,
        "snippets": Words(
            _XML,
            "",
            "Elements of the domain's XML that are merged into it: devices, or children of <domain>.",
            computed=True,
        ),
        "xml_passthrough": Field(
            _XML, "", "One text of such elements, also whole <devices>, merged last.", computed=True
        ),
    },
)

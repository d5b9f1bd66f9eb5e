"""Rows of ``libvirt.devices.hostdevs``."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import (
    HOST_NAME,
    LINE,
    ON_OFF,
    PATH,
    PORT,
    POSITIVE,
    UUID,
    YES_NO,
    address,
    number,
    one_of,
    switch,
    text,
)

PCI = {"type": ("pci",)}
USB = {"type": ("usb",)}
SCSI = {"type": ("scsi",)}
MDEV = {"type": ("mdev",)}
_BYTE = "25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9]"
BUS = address(2, 0xFF, "bus", _BYTE)
DEVICE = replace(address(2, 0xFF, "device", _BYTE), samples=("0x1", "0xff", 1))
USB_ID = text(
    r"^(0[xX])?[0-9a-fA-F]{1,4}$",
    "four hex digits",
    "is not a USB identity: up to four hex digits",
    ("0x046d", "c52b"),
    ("x", ""),
)

ROWS = Items(
    Block(
        "hostdev",
        "Host devices passed through to the VM.",
        {
            "mode": Field(
                one_of("subsystem"), "@mode", "Always subsystem; other values are for containers.", default="subsystem"
            ),
            "type": Field(
                one_of("pci", "usb", "scsi", "mdev"),
                "@type",
                "What it is.",
                required=True,
                known=("devices/hostdev/subsysType", "kind of host device"),
            ),
            "managed": Field(
                YES_NO,
                "@managed",
                "libvirt takes it from the host's driver and gives it back.",
                only={"type": ("pci", "mdev")},
            ),
            "source": Block(
                "source",
                "Which one: pci by domain, bus, slot, function; usb by vendor and product or by bus and device.",
                {
                    "domain": Field(
                        address(4, 0xFFFF, "domain", "[0-9]{1,4}"),
                        "address@domain",
                        "PCI domain.",
                        only=PCI,
                        computed=True,
                    ),
                    "bus": Field(BUS, "address@bus", "Bus.", only={"type": ("pci", "usb", "scsi")}, computed=True),
                    "slot": Field(
                        address(2, 0x1F, "slot", "[0-2]?[0-9]|3[01]"),
                        "address@slot",
                        "PCI slot.",
                        only=PCI,
                        computed=True,
                    ),
                    "function": Field(
                        address(1, 7, "function", "[0-7]"), "address@function", "PCI function.", only=PCI, computed=True
                    ),
                    "vendor": Field(USB_ID, "vendor@id", "USB vendor.", only=USB, needs=("product",), computed=True),
                    "product": Field(USB_ID, "product@id", "USB product.", only=USB, needs=("vendor",), computed=True),
                    "device": Field(
                        DEVICE, "address@device", "USB device on the bus.", only=USB, needs=("bus",), computed=True
                    ),
                    "startup_policy": Field(
                        one_of("mandatory", "requisite", "optional"),
                        "@startupPolicy",
                        "What to do at a start if it is missing.",
                        only=USB,
                        qemu="never",
                    ),
                    "guest_reset": Field(
                        one_of("off", "uninitialized", "on"), "@guestReset", "Whether the guest may reset it.", only=USB
                    ),
                    "uuid": Field(UUID, "address@uuid", "The mediated device's UUID.", only=MDEV),
                    "model": Field(
                        one_of("vfio-pci", "vfio-ccw", "vfio-ap"),
                        "@model",
                        "A mediated device's kind; default vfio-pci.",
                        only=MDEV,
                        computed=True,
                    ),
                    "adapter": Field(
                        LINE, "adapter@name", "The host's SCSI adapter, such as scsi_host0.", only=SCSI, qemu="never"
                    ),
                    "target": Field(
                        number(0, 99999), "address@target", "SCSI target.", only=SCSI, computed=True, qemu="never"
                    ),
                    "unit": Field(
                        number(0, 99999), "address@unit", "SCSI unit.", only=SCSI, computed=True, qemu="never"
                    ),
                    "protocol": Field(
                        one_of("iscsi"), "@protocol", "By iSCSI, without an adapter.", only=SCSI, qemu="never"
                    ),
                    "name": Field(LINE, "@name", "The iSCSI name.", only=SCSI, needs=("protocol",), qemu="never"),
                    "hosts": Items(
                        Block(
                            "host",
                            "The iSCSI servers.",
                            {
                                "name": Field(HOST_NAME, "@name", "Name or address.", required=True),
                                "port": Field(PORT, "@port", "Port."),
                            },
                            only=SCSI,
                            needs=("protocol",),
                            qemu="never",
                        )
                    ),
                },
                required=True,
            ),
            "display": Field(ON_OFF, "@display", "Show it in graphics (mdev).", only=MDEV),
            "ramfb": Field(ON_OFF, "@ramfb", "A picture before its driver runs (mdev).", only=MDEV),
            "rom": Block(
                "rom",
                "Its option ROM.",
                {
                    "enabled": Field(YES_NO, "@enabled", "Whether it has one."),
                    "bar": Field(ON_OFF, "@bar", "Whether the guest sees it."),
                    "file": Field(PATH, "@file", "A file with it."),
                },
                only={"type": ("pci", "mdev")},
            ),
            "driver": Block(
                "driver",
                "The host's driver.",
                {
                    "name": Field(one_of("vfio"), "@name", "Always vfio."),
                    "model": Field(
                        text(
                            r"^[A-Za-z0-9_-]+$", "a module's name", "is not a module name", ("vfio-pci",), ("a b", "")
                        ),
                        "@model",
                        "The kernel module.",
                        since=(10, 0),
                        qemu="never",
                    ),
                    "iommufd": Field(YES_NO, "@iommufd", "By iommufd.", since=(12, 1), qemu="never"),
                },
                only=PCI,
            ),
            "readonly": Field(switch("yes", "no"), "readonly?", "The guest cannot write.", only=SCSI, qemu="never"),
            "shareable": Field(
                switch("yes", "no"), "shareable?", "Several VMs may use it at once.", only=SCSI, qemu="never"
            ),
            "boot": Field(POSITIVE, "boot@order", "Its place in the boot order."),
        },
    )
)

"""Rows of the devices that are left: random numbers, TPM, watchdog, balloon, memory, panic, controllers …"""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import MIB, NUMBER, ON_OFF, PATH, POSITIVE, UINT8, UUID, YES_NO, number, one_of, text
from ovtasks.machine.rows.characters import source
from ovtasks.machine.rows.disks import virtio_options

VIRTIO_MODELS = ("virtio", "virtio-transitional", "virtio-non-transitional")

RNG = Items(
    Block(
        "rng",
        "Sources of random numbers; without any, one that reads /dev/urandom.",
        {
            "model": Field(one_of(*VIRTIO_MODELS), "@model", "The device.", default="virtio"),
            "rate": Block(
                "rate",
                "How much the guest gets.",
                {
                    "bytes": Field(POSITIVE, "@bytes", "Bytes in a period.", required=True),
                    "period": Field(POSITIVE, "@period", "In ms.", assumed="1000"),
                },
            ),
            "backend": Field(
                text(
                    r"^(/[^\x00-\x1f]+|builtin|egd)$",
                    "builtin, egd, or a device of the host",
                    "is neither builtin, egd nor a device such as /dev/urandom",
                    ("/dev/random", "builtin"),
                    ("random", ""),
                ),
                "backend",
                "Where they come from; egd: a daemon at source.",
                default="/dev/urandom",
                computed=True,
            ),
            "type": Field(
                one_of("unix", "tcp", "udp"),
                "backend@type",
                "With egd: how it is reached.",
                only={"backend": ("egd",)},
                computed=True,
            ),
            "source": Block(
                "backend/source",
                "With egd: where it is.",
                source("unix", "tcp", "udp").fields,
                only={"backend": ("egd",)},
            ),
            "driver": Block("driver", "Options of virtio.", virtio_options()),
        },
    )
)

TPM = Items(
    Block(
        "tpm",
        "A Trusted Platform Module.",
        {
            "model": Field(
                one_of("tpm-crb", "tpm-tis", "tpm-spapr"), "@model", "The device; default tpm-crb, tpm-tis on ARM."
            ),
            "backend": Block(
                "backend",
                "What is behind it.",
                {
                    "type": Field(
                        one_of("emulator", "passthrough", "external"),
                        "@type",
                        "emulator: swtpm; passthrough: the host's; external: at source.",
                        default="emulator",
                    ),
                    "version": Field(
                        one_of("1.2", "2.0"),
                        "@version",
                        "Of the emulated one; default 2.0.",
                        only={"type": ("emulator",)},
                        computed=True,
                    ),
                    "path": Field(
                        PATH, "device@path", "The host's device.", default=None, only={"type": ("passthrough",)}
                    ),
                    "encryption": Field(
                        UUID,
                        "encryption@secret",
                        "libvirt's secret that encrypts its state (virsh secret-list).",
                        only={"type": ("emulator",)},
                    ),
                    "persistent_state": Field(
                        YES_NO,
                        "@persistent_state",
                        "Keep its state also of a transient VM.",
                        only={"type": ("emulator",)},
                    ),
                    "source": Field(
                        PATH,
                        "source@path",
                        "The socket of an external one.",
                        only={"type": ("external",)},
                        fixed={"type": "unix", "mode": "connect"},
                    ),
                },
                bare=True,
            ),
        },
    )
)

WATCHDOG = Items(
    Block(
        "watchdog",
        "Watchdogs.",
        {
            "model": Field(
                one_of("i6300esb", "ib700", "diag288", "itco"),
                "@model",
                "The device.",
                required=True,
                since_values={"itco": (9, 1)},
            ),
            "action": Field(
                one_of("reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"),
                "@action",
                "What it does; libvirt's own default is reset.",
            ),
        },
    )
)

MEMBALLOON = Block(
    "memballoon",
    "The balloon that takes memory back.",
    {
        "model": Field(one_of(*VIRTIO_MODELS, "none"), "@model", "The device, or none.", default="virtio"),
        "autodeflate": Field(
            ON_OFF, "@autodeflate", "Give memory back before the guest kills programs.", only={"model": VIRTIO_MODELS}
        ),
        "free_page_reporting": Field(
            ON_OFF, "@freePageReporting", "The guest says which pages are free.", only={"model": VIRTIO_MODELS}
        ),
        "stats": Block(
            "stats",
            "Statistics.",
            {"period": Field(POSITIVE, "@period", "Every so many seconds.", required=True)},
            only={"model": VIRTIO_MODELS},
        ),
        "driver": Block("driver", "Options of virtio.", virtio_options(), only={"model": VIRTIO_MODELS}),
    },
)

DOORBELL = {"model.type": ("ivshmem-doorbell",)}
SHMEM = Items(
    Block(
        "shmem",
        "Memory shared between VMs.",
        {
            "name": Field(
                text(r"^[^/\x00-\x1f]+$", "a name without slashes", "has slashes", ("shm0",), ("a/b", "")),
                "@name",
                "Its name; /dev/shm/NAME.",
                required=True,
            ),
            "role": Field(one_of("master", "peer"), "@role", "Whether it migrates along."),
            "model": Block(
                "model",
                "The device.",
                {
                    "type": Field(
                        one_of("ivshmem-plain", "ivshmem-doorbell"),
                        "@type",
                        "doorbell has a server and interrupts.",
                        default="ivshmem-plain",
                    )
                },
                bare=True,
            ),
            "size": Field(MIB, "size", "Its size, a power of two; default 4 MiB.", fixed={"unit": "M"}),
            "server": Block(
                "server",
                "The server of a doorbell.",
                {"path": Field(PATH, "@path", "Its socket; default: one that libvirt chooses.")},
                only=DOORBELL,
                bare=True,
            ),
            "msi": Block(
                "msi",
                "Interrupts of a doorbell.",
                {
                    "vectors": Field(POSITIVE, "@vectors", "How many."),
                    "ioeventfd": Field(ON_OFF, "@ioeventfd", "By event file descriptors."),
                },
                only=DOORBELL,
            ),
        },
    )
)

IOMMU = Block(
    "iommu",
    "The guest's IOMMU.",
    {
        "model": Field(one_of("intel", "smmuv3", "virtio"), "@model", "The device.", required=True),
        "driver": Block(
            "driver",
            "Its options.",
            {
                "intremap": Field(ON_OFF, "@intremap", "Interrupt remapping."),
                "caching_mode": Field(ON_OFF, "@caching_mode", "Needed for assigned devices."),
                "eim": Field(ON_OFF, "@eim", "Extended interrupts.", needs=("intremap",)),
                "iotlb": Field(ON_OFF, "@iotlb", "Caching of translations."),
                "aw_bits": Field(one_of("39", "48"), "@aw_bits", "Width of addresses."),
            },
            only={"model": ("intel",)},
        ),
    },
)

VSOCK = Block(
    "vsock",
    "Sockets between guest and host.",
    {
        "model": Field(one_of(*VIRTIO_MODELS), "@model", "The device.", default="virtio"),
        "cid": Block(
            "cid",
            "The guest's address; default: libvirt chooses.",
            {
                "auto": Field(YES_NO, "@auto", "libvirt chooses."),
                "address": Field(number(3, 0xFFFF_FFFF - 1), "@address", "Fixed, from 3."),
            },
        ),
        "driver": Block("driver", "Options of virtio.", virtio_options()),
    },
    bare=True,
)

PANIC = Items(
    Block(
        "panic",
        "How the guest tells that its kernel died.",
        {
            "model": Field(
                one_of("isa", "pseries", "hyperv", "s390", "pvpanic"),
                "@model",
                "The device.",
                since_values={"pvpanic": (9, 1)},
            ),
            "address": Block(
                "address",
                "Where (model isa).",
                {
                    "type": Field(one_of("isa"), "@type", "Always isa.", default="isa"),
                    "iobase": Field(
                        text(
                            r"^0x[0-9a-fA-F]{1,4}$",
                            "an I/O port such as 0x505",
                            "is no I/O port",
                            ("0x505",),
                            ("5", ""),
                        ),
                        "@iobase",
                        "The I/O port.",
                        required=True,
                    ),
                },
                only={"model": ("isa",)},
            ),
        },
    )
)

USB = Items(
    Block(
        "controller",
        "USB controllers.",
        {
            "index": Field(NUMBER, "@index", "Its number; default: counted."),
            "model": Field(
                one_of(
                    *("qemu-xhci", "nec-xhci", "piix3-uhci", "piix4-uhci", "ehci", "ich9-ehci1", "ich9-uhci1"),
                    *("ich9-uhci2", "ich9-uhci3", "vt82c686b-uhci", "pci-ohci", "none"),
                ),
                "@model",
                "The device.",
            ),
            "ports": Field(number(1, 15), "@ports", "Ports of an xHCI.", only={"model": ("qemu-xhci", "nec-xhci")}),
        },
        fixed={"type": "usb"},
    )
)

_SCSI = {"type": ("scsi",)}
CONTROLLERS = Items(
    Block(
        "controller",
        "Other controllers.",
        {
            "type": Field(
                one_of("scsi", "virtio-serial", "pci", "sata", "ide", "ccid"), "@type", "What it is.", required=True
            ),
            "index": Field(NUMBER, "@index", "Its number; default: counted."),
            "model": Field(
                one_of(
                    *("virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi", "am53c974"),
                    *("pcie-root-port", "pcie-to-pci-bridge", "pci-bridge", "dmi-to-pci-bridge", "pcie-expander-bus"),
                    *("pcie-switch-upstream-port", "pcie-switch-downstream-port", "pci-expander-bus"),
                ),
                "@model",
                "The device; default of scsi: virtio-scsi.",
                only={"type": ("scsi", "pci")},
            ),
            "ports": Field(number(1, 511), "@ports", "Ports.", only={"type": ("virtio-serial",)}),
            "vectors": Field(NUMBER, "@vectors", "Interrupts.", only={"type": ("virtio-serial",)}),
            "driver": Block(
                "driver",
                "Its options.",
                {
                    "queues": Field(POSITIVE, "@queues", "Queues."),
                    "cmd_per_lun": Field(POSITIVE, "@cmd_per_lun", "Commands for a LUN."),
                    "max_sectors": Field(POSITIVE, "@max_sectors", "Sectors of a transfer."),
                    "ioeventfd": Field(ON_OFF, "@ioeventfd", "Requests by event file descriptors."),
                    "iothread": Field(number(1), "@iothread", "The I/O thread (iothreads) that serves it."),
                },
                only=_SCSI,
            ),
            "target": Block(
                "target",
                "Where a PCI controller sits.",
                {
                    "chassis": Field(UINT8, "@chassis", "Chassis."),
                    "port": Field(UINT8, "@port", "Port."),
                    "hotplug": Field(ON_OFF, "@hotplug", "Whether devices come and go."),
                },
                only={"type": ("pci",)},
            ),
        },
    )
)

HUB = Items(Block("hub", "Hubs.", {"type": Field(one_of("usb"), "@type", "Always usb.", required=True)}))

CRYPTO = Items(
    Block(
        "crypto",
        "Accelerators of cryptography.",
        {
            "model": Field(one_of("virtio"), "@model", "Always virtio.", default="virtio"),
            "type": Field(one_of("qemu"), "@type", "Always qemu.", default="qemu"),
            "backend": Block(
                "backend",
                "Who computes.",
                {
                    "model": Field(one_of("builtin", "lkcf"), "@model", "QEMU, or the kernel.", default="builtin"),
                    "queues": Field(POSITIVE, "@queues", "Queues."),
                },
                bare=True,
                required=True,
            ),
        },
        since=(9, 1),
    )
)

"""Rows of ``libvirt.devices.disks``."""

from __future__ import annotations

from ovtasks.machine import virtio
from ovtasks.machine.devices.disk.source_rows import SOURCE
from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.kinds import ON_OFF, POSITIVE, WORD, number, one_of, switch, text

FLAG = switch("yes", "no")

DRIVER = Block(
    "driver",
    "How the host opens it.",
    {
        "name": Field(one_of("qemu"), "@name", "Always qemu.", default="qemu"),
        "type": Field(
            one_of("raw", "qcow2", "qed", "vdi", "vmdk", "vpc"),
            "@type",
            "The image's format; default: qcow2 for files named *.qcow2, else raw.",
        ),
        "cache": Field(
            one_of("default", "none", "writeback", "writethrough", "directsync", "unsafe"),
            "@cache",
            "The host's page cache.",
        ),
        "io": Field(one_of("threads", "native", "io_uring"), "@io", "The host's interface."),
        "discard": Field(one_of("unmap", "ignore"), "@discard", "How to treat the guest's TRIM requests."),
        "detect_zeroes": Field(
            one_of("off", "on", "unmap"), "@detect_zeroes", "Whether zeroes are written, skipped or unmapped."
        ),
        "error_policy": Field(
            one_of("stop", "report", "ignore", "enospace"), "@error_policy", "What a write error does."
        ),
        "rerror_policy": Field(one_of("stop", "report", "ignore"), "@rerror_policy", "What a read error does."),
        "iothread": Field(number(1), "@iothread", "The I/O thread (iothreads) that serves it."),
        "queues": Field(POSITIVE, "@queues", "Queues of a virtio disk."),
        "queue_size": Field(POSITIVE, "@queue_size", "Requests in a queue, a power of two."),
        "copy_on_read": Field(ON_OFF, "@copy_on_read", "Keep what was read from the backing file."),
        "ioeventfd": Field(ON_OFF, "@ioeventfd", "Requests by event file descriptors."),
        "event_idx": Field(ON_OFF, "@event_idx", "Fewer interrupts."),
        **virtio.options(),
    },
)


def _iotune() -> dict[str, Node]:
    """All limits of speed, from ``total_bytes_sec`` to ``write_iops_sec_max_length``."""
    found: dict[str, Node] = {}
    for what, unit in (("bytes", "bytes"), ("iops", "requests")):
        for suffix, meaning in (("", "a second"), ("_max", "a second in a burst")):
            for whose in ("total", "read", "write"):
                name = f"{whose}_{what}_sec{suffix}"
                found[name] = Field(number(0), name, f"The most {unit} {meaning}, {whose}.")
        for whose in ("total", "read", "write"):
            name = f"{whose}_{what}_sec_max_length"
            doc = f"Seconds that a burst may last, {whose}."
            found[name] = Field(number(1), name, doc, needs=(f"{whose}_{what}_sec_max",))
    found["size_iops_sec"] = Field(number(0), "size_iops_sec", "Bytes that count as one request.")
    found["group_name"] = Field(WORD, "group_name", "Disks with the same name share the limits.")
    return found


ROWS = Items(
    Block(
        "disk",
        "Disks in addition to the VM's own (vda) and its seed (vdb).",
        {
            "type": Field(one_of("file", "block", "network", "volume"), "@type", "What source is.", default="file"),
            "device": Field(
                one_of("disk", "cdrom", "floppy", "lun"),
                "@device",
                "What the guest sees.",
                default="disk",
                known=("devices/disk/diskDevice", "kind of disk"),
            ),
            "driver": DRIVER,
            "source": SOURCE,
            "target": Block(
                "target",
                "Where the guest sees it.",
                {
                    "dev": Field(
                        text(
                            r"^((fd|hd|sd|vd)[a-z]{1,3}|nvme[0-9]{1,3}n[0-9]{1,3})$",
                            "a name such as vdc, sda",
                            "is not a disk name such as vdc, sda",
                            ("vdc", "sda"),
                            ("disk1", ""),
                        ),
                        "@dev",
                        "A name such as vdc, which also orders the disks; default: the next free one.",
                    ),
                    "bus": Field(
                        one_of("virtio", "sata", "scsi", "usb", "ide", "fdc", "nvme"),
                        "@bus",
                        "Default by dev (vd: virtio, sd: scsi, hd: ide) and device: sata for CD-ROMs, scsi for LUNs.",
                        since_values={"nvme": (11, 6)},
                        known=("devices/disk/bus", "bus for disks"),
                    ),
                    "removable": Field(ON_OFF, "@removable", "Removable (bus usb).", only={"bus": ("usb",)}),
                    "rotation_rate": Field(
                        number(1, 65534),
                        "@rotation_rate",
                        "1: solid state; otherwise rotations per minute.",
                        only={"bus": ("scsi", "ide", "sata")},
                    ),
                },
            ),
            "readonly": Field(FLAG, "readonly?", "The guest cannot write."),
            "shareable": Field(FLAG, "shareable?", "Several VMs may use it at once (raw only)."),
            "transient": Field(FLAG, "transient?", "Writes are discarded when the VM ends.", qemu="never"),
            "iotune": Block("iotune", "Limits of its speed.", _iotune()),
            "blockio": Block(
                "blockio",
                "Sizes of its blocks.",
                {
                    "logical_block_size": Field(POSITIVE, "@logical_block_size", "In bytes."),
                    "physical_block_size": Field(POSITIVE, "@physical_block_size", "In bytes."),
                },
            ),
            "serial": Field(
                text(
                    r"^[A-Za-z0-9_.+ -]{1,36}$",
                    "up to 36 of letters, digits, _ . + - and blanks",
                    "is not a serial number: letters, digits, _ . + - and blanks, at most 36",
                    ("WD-1 a",),
                    ("a/b", ""),
                ),
                "serial",
                "Serial number; udev makes /dev/disk/by-id/virtio-SERIAL of it.",
            ),
            "wwn": Field(
                text(
                    r"^(0x)?[0-9a-fA-F]{16}$",
                    "16 hex digits",
                    "is not a World Wide Name: 16 hex digits",
                    ("5000c50015ea71ac",),
                    ("0", ""),
                ),
                "wwn",
                "World Wide Name.",
                only={"target.bus": ("scsi", "ide", "sata")},
            ),
            "vendor": Field(
                text(r"^[ -~]{1,8}$", "up to 8 ASCII characters", "has more than 8 ASCII characters", ("QEMU",)),
                "vendor",
                "Vendor (bus scsi).",
                only={"target.bus": ("scsi",)},
            ),
            "product": Field(
                text(r"^[ -~]{1,16}$", "up to 16 ASCII characters", "has more than 16 ASCII characters", ("DISK",)),
                "product",
                "Product (bus scsi).",
                only={"target.bus": ("scsi",)},
            ),
            "boot": Field(POSITIVE, "boot@order", "Its place in the boot order."),
        },
    )
)

"""Controllers of buses other than USB."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import NUMBER, ON_OFF, POSITIVE, UINT8, number, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import ROOT, Faults, Tree

_SCSI = {"type": ("scsi",)}

ROWS = Items(
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
            "ports": Field(number(1, 511), "@ports", "Ports.", only={"type": ("virtio-serial",)}, qemu="never"),
            "vectors": Field(NUMBER, "@vectors", "Interrupts.", only={"type": ("virtio-serial",)}, qemu="never"),
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
                "The place of a PCI controller.",
                {
                    "chassis": Field(UINT8, "@chassis", "Chassis."),
                    "port": Field(UINT8, "@port", "Port."),
                    "hotplug": Field(ON_OFF, "@hotplug", "Whether devices can be plugged in and out."),
                },
                only={"type": ("pci",)},
                qemu="never",
            ),
        },
    )
)

_QEMU = {"queues": "num_queues", "cmd_per_lun": "cmd_per_lun", "max_sectors": "max_sectors", "ioeventfd": "ioeventfd"}
"""libvirt's attributes of a SCSI controller's driver → QEMU's properties."""


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    """Each controller's model belongs to its type."""
    for one in found:
        kind, model = one.text("type"), one.text("model")
        if kind == "pci" and model is None:
            yield one.fault("is missing: type pci needs it", "model: pcie-root-port", "model")
        elif kind in {"pci", "scsi"} and model is not None and model.startswith(("pci", "dmi")) != (kind == "pci"):
            yield one.fault(f"is {model}, which is no {kind} controller", "another model or type", "model")


def _settle(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    """SCSI controllers are virtio's: cloud kernels have no driver for libvirt's own choice. PCI controllers are counted
    from 1, as every machine has number 0."""
    done: list[Tree] = []
    free = (str(number) for number in count(1))
    written = {one.text("index") for one in found if one.text("type") == "pci"}
    for one in found:
        kind = one.text("type")
        index = next(number for number in free if number not in written) if kind == "pci" else None
        done.append(one.over(model="virtio-scsi" if kind == "scsi" else None, index=index))
    if "scsi" in draft.buses and not any(one.text("type") == "scsi" for one in found):
        place = (*ROOT, "devices", "controllers", len(done))
        done.append(Tree({"type": "scsi", "model": "virtio-scsi", "index": "0"}, place))
        draft.notes.append("SCSI disks: a virtio-scsi controller added")
    return done


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """SCSI controllers; number 0 has the disks. Others are part of the machine, or come with what needs them."""
    for counted, block in enumerate(blocks):
        kind = block.text("type") or ""
        if kind != "scsi" or (block.text("model") or "virtio-scsi") != "virtio-scsi":
            raise block.refuse("type", "the backend qemu makes controllers where something needs them, but virtio-scsi")
        index, driver = block.number("index"), block.block("driver")
        ident = f"scsi{counted if index is None else index}"
        if ident in to.scsi:
            raise block.refuse("index", f"there are two controllers {ident}", hint="leave it out: they are counted")
        to.scsi.add(ident)
        thread = driver.text("iothread")
        to.device(
            "virtio-scsi-pci",
            id=ident,
            iothread=f"iothread{thread}" if thread else None,
            **{ours: driver.text(theirs) for theirs, ours in _QEMU.items()},
        )


CONTROLLER = Device("controllers", ROWS, _rules, settle=_settle, qemu=_words, same=("@type", "@index"))

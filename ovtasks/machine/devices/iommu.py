"""The guest's IOMMU."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field
from ovtasks.machine.kinds import ON_OFF, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

ROWS = Block(
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


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    for one in found:
        if one.block("driver").text("intremap") == "on":
            draft.turn_on("ioapic", "qemu", "iommu.driver.intremap: features.ioapic is qemu")
    return found


def _iommu(block: Tree, to: Command) -> None:
    """An Intel IOMMU comes before all PCI devices: it would miss those that are there already."""
    model = block.text("model")
    if model == "smmuv3":
        if to.machine.arch != "aarch64":
            raise block.refuse("model", f"{to.machine.arch} has no smmuv3", hint="model: intel, or virtio")
        to.properties["iommu"] = "smmuv3"
    elif model == "virtio":
        to.device("virtio-iommu-pci", id="iommu0")
    elif model == "intel":
        if not to.q35:
            raise block.refuse("model", f"{to.machine.machine} has no intel", hint="machine: q35, or model: virtio")
        driver = block.block("driver")
        keys = {"intremap": "intremap", "caching_mode": "caching-mode", "eim": "eim", "iotlb": "device-iotlb"}
        values = {ours: driver.text(theirs) for theirs, ours in keys.items()}
        if values["eim"] == "on" and not to.kvm:
            raise driver.refuse("eim", "it needs KVM, and this VM is emulated", hint="remove it")
        if to.kvm and "on" in {values["intremap"], values["eim"]}:
            to.properties["kernel-irqchip"] = "split"
        to.early += to.one("intel-iommu", id="iommu0", **values, **{"aw-bits": driver.text("aw_bits")})


def _words(found: Sequence[Tree], to: Command) -> None:
    for one in found:
        _iommu(one, to)


IOMMU = Device("iommu", ROWS, complete=_complete, qemu=_words)

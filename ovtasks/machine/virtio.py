"""What all virtio devices have in common."""

from __future__ import annotations

from ovtasks.machine.field import Field, Node
from ovtasks.machine.kinds import ON_OFF
from ovtasks.machine.tree import Tree

MODELS = ("virtio", "virtio-transitional", "virtio-non-transitional")
SUFFIXES = {"virtio": "", "virtio-transitional": "-transitional", "virtio-non-transitional": "-non-transitional"}
"""libvirt's models of a virtio device → what QEMU appends to its name."""
NET_MODELS = {"virtio": "virtio-net-pci"}
"""libvirt's name of the virtio network card → QEMU's. Other cards have the same name in both."""
_OPTIONS = {
    "iommu": ("Behind the guest's IOMMU.", "iommu_platform"),
    "ats": ("Address translation service.", "ats"),
    "packed": ("Packed virtqueues.", "packed"),
    "page_per_vq": ("A page for each virtqueue.", "page-per-vq"),
}
"""libvirt's attributes of every virtio device's ``driver`` → what they mean, and QEMU's properties."""


def options() -> dict[str, Node]:
    """Rows of what every virtio device's ``driver`` has."""
    return {name: Field(ON_OFF, f"@{name}", doc) for name, (doc, _) in _OPTIONS.items()}


def properties(driver: Tree) -> dict[str, object]:
    """The same as QEMU's properties. A device behind an IOMMU cannot offer legacy virtio, too."""
    found: dict[str, object] = {ours: driver.text(theirs) for theirs, (_, ours) in _OPTIONS.items()}
    return {**found, "disable-legacy": "on" if driver.peek("iommu") == "on" else None}

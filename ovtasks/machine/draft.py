"""A block while its defaults are filled in, and what devices ask of it and of each other meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from ovtasks.machine.machine import Machine
from ovtasks.machine.tree import Place, Tree


@dataclass
class Draft:
    """``tree`` is the block so far. ``notes`` tell people what was added because something else needs it.

    ``root_boot`` is the place of the VM's own disk in the boot order; None: no device has one. ``spice`` is where the
    first device stands that goes through SPICE, with the word that says so; ``spice_for`` is the same place, if SPICE
    graphics were added for it. ``buses`` are those that the disks are on.
    """

    machine: Machine
    tree: Tree
    notes: list[str] = field(default_factory=list)
    root_boot: int | None = None
    spice: tuple[Place, str] | None = None
    spice_for: Place | None = None
    buses: set[str] = field(default_factory=set)

    def turn_on(self, feature: str, word: str, note: str) -> None:
        """Set a feature that a device needs, and note it. What the spec says about it stays."""
        features = self.tree.block("features")
        if feature not in features:
            self.tree = self.tree.put(features=features.put(**{feature: word}))
            self.notes.append(note)

    def share_memory(self) -> None:
        """Let another process (virtiofsd) map the guest's memory."""
        memory = self.tree.block("memory_backing")
        if "source" not in memory or "access" not in memory:
            self.notes.append("virtiofs: memory_backing is memfd, shared")
        self.tree = self.tree.put(memory_backing=memory.over(source="memfd", access="shared"))

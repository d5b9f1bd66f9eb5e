"""A block while its defaults are decided: what devices ask of the machine and of each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from ovtasks.machine.machine import Machine
from ovtasks.machine.tree import Place, Tree


@dataclass
class Draft:
    """``tree`` is the block so far. ``notes`` are for people: what was added because something else needs it.

    ``root_boot`` is the place of the VM's disk in the order of booting, None: no device has one. ``spice`` is the first
    field that goes through SPICE, with the word that says so; ``spice_for`` the field for which SPICE was added.
    ``buses`` are those that disks hang on.
    """

    machine: Machine
    tree: Tree
    notes: list[str] = field(default_factory=list)
    root_boot: int | None = None
    spice: tuple[Place, str] | None = None
    spice_for: Place | None = None
    buses: set[str] = field(default_factory=set)

    def turn_on(self, feature: str, word: str, note: str) -> None:
        """A feature that a device needs, unless the spec says something about it."""
        features = self.tree.block("features")
        if feature not in features:
            self.tree = self.tree.put(features=features.put(**{feature: word}))
            self.notes.append(note)

    def share_memory(self) -> None:
        """Another process uses the guest's memory, too."""
        memory = self.tree.block("memory_backing")
        if "source" not in memory or "access" not in memory:
            self.notes.append("virtiofs: memory_backing is memfd, shared")
        self.tree = self.tree.put(memory_backing=memory.over(source="memfd", access="shared"))

"""Hosts for the renderer."""

from __future__ import annotations

from ovtasks.machine.field import Field, Items
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.rows.displays import GRAPHICS, VIDEO


def _values(items: Items, name: str) -> frozenset[str]:
    field = items.block.fields[name]
    assert isinstance(field, Field)
    return frozenset(field.kind.values)


EVERYTHING = HostFeatures(graphics=_values(GRAPHICS, "type"), video=_values(VIDEO, "model"), tpm=True, passt=True)
"""One that has all, with a libvirt of no known age."""

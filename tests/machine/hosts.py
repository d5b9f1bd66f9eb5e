"""Hosts for the renderer."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.host.run import run
from ovtasks.machine.devices.graphics import GRAPHICS
from ovtasks.machine.devices.video import VIDEO
from ovtasks.machine.field import Field, Items
from ovtasks.machine.host import HostFeatures


def _values(items: object, name: str) -> frozenset[str]:
    assert isinstance(items, Items)
    field = items.block.fields[name]
    assert isinstance(field, Field)
    return frozenset(field.kind.values)


EVERYTHING = HostFeatures(
    passt=True,
    known={
        "devices/graphics/type": _values(GRAPHICS.rows, "type"),
        "devices/video/modelType": _values(VIDEO.rows, "model"),
        "devices/tpm/backendModel": frozenset({"emulator", "passthrough", "external"}),
    },
)
"""One that has all, with a libvirt of no known age."""


def knowing(host: HostFeatures, **words: frozenset[str] | None) -> HostFeatures:
    """The host with other words in the enums of ``domcapabilities``, named ``element_enum``; None: it does not tell."""
    changed = {f"devices/{name.replace('_', '/')}": found for name, found in words.items()}
    kept = {place: found for place, found in host.known.items() if place not in changed}
    return replace(host, known={**kept, **{place: found for place, found in changed.items() if found is not None}})


def versions() -> tuple[int, int]:
    """Of this host's libvirt."""
    major, minor, *_ = run(["virsh", "--version"]).stdout.strip().split(".")
    return int(major), int(minor)

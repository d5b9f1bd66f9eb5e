"""What a machine's network cards hang on, outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ovtasks.machine.machine import Machine
from ovtasks.machine.read import read_machine
from ovtasks.machine.tree import items, mapping, value


@dataclass(frozen=True)
class Attached:
    """One card. ``kind`` is ``user``, ``bridge``, ``network`` (libvirt's) or ``direct``; ``name`` that of the bridge,
    network or card of the host. ``field`` is where the spec says so."""

    kind: str
    name: str
    field: tuple[str | int, ...]


def attached(machine: Machine) -> Iterator[Attached]:
    """All cards: the first one, then those of the ``libvirt:`` block.

    :raises InputError: the block has something that cannot be.
    """
    nic = machine.nic
    names = {"bridge": nic.bridge, "direct": nic.dev, "user": ""}
    kind = nic.mode if nic.mode in names else "network"
    field = {"bridge": "bridge", "direct": "dev"}.get(kind, "mode")
    yield Attached(kind, names.get(kind, nic.network or nic.bridge or "default") or "", ("network", field))
    for index, item in enumerate(items(mapping(read_machine(machine), "devices"), "interfaces")):
        kind, source = value(item, "type") or "user", mapping(item, "source")
        name = next((text for key in ("bridge", "network", "dev") if (text := value(source, key))), "")
        yield Attached(kind, name, ("libvirt", "devices", "interfaces", index))

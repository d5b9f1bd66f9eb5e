"""The units behind the services of layers, by the names that checks use."""

from __future__ import annotations

from collections.abc import Iterable

from ovtasks.layers.checks.model import ServiceUnit
from ovtasks.layers.kinds.services import unit_name
from ovtasks.project.layer_model import LayerSpec


def service_units(layers: Iterable[LayerSpec]) -> dict[str, ServiceUnit]:
    """Units by the services' names; of two with one name the last. A packaged unit counts before a written one.

    :raises InputError: a service has no unit.
    """
    found: dict[str, ServiceUnit] = {}
    for layer in layers:
        ordered = sorted(layer.services, key=lambda part: "use_packaged" in part.data)
        for part in ordered:
            name = str(part.data.get("name"))
            found[name] = ServiceUnit(unit_name(layer.name, part), part.data.get("scope") == "user")
    return found

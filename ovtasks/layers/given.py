"""What a layer must be given from outside: variables and secrets, by the names that its commands see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ovtasks.project.layer_model import LayerInput, LayerSpec


def name_of(wanted: LayerInput) -> str:
    """The variable that carries it."""
    return str(wanted.data.get("env") or wanted.data.get("name"))


def with_defaults(layer: LayerSpec, given: Mapping[str, str]) -> dict[str, str]:
    """``given``, and the defaults of the other variables that the layer asks for."""
    defaults = {
        name_of(one): str(one.data["default"]) for one in layer.env_inputs if one.data.get("default") is not None
    }
    return defaults | dict(given)


def missing(layer: LayerSpec, given: Mapping[str, str]) -> Iterator[LayerInput]:
    """The variables that the layer cannot do without, and that ``given`` lacks."""
    return (one for one in layer.env_inputs if one.required and name_of(one) not in given)

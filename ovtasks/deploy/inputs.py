"""The values that layers are given: variables of the deployment, and secrets, which are made up if need be."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import InputError
from ovtasks.host.files import write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.state import load_state
from ovtasks.layers.given import missing, name_of, with_defaults
from ovtasks.project.layer_model import LayerSpec
from ovtasks.values.jsonvalue import state_text

FILE = "layers.secrets.json"
"""In the instance's folder: the secrets that were made up for it."""
SECRET_BYTES = 32


class Secrets:
    """The secrets of an instance. ``folder`` is the instance's; None: it does not exist yet, so nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder is not None else None
        kept = load_state(self._path, private=True) if self._path is not None else None
        self._kept = {name: str(value) for name, value in (kept or {}).items()}
        self._new = False

    def values(self, layer: LayerSpec, environment: Mapping[str, str]) -> dict[str, str]:
        """The layer's secrets by name: from ``environment``, this process's environment, or those that were kept.

        What the layer cannot do without is made up once, as 64 hexadecimal digits.
        """
        found: dict[str, str] = {}
        for wanted in layer.secrets:
            name = name_of(wanted)
            value = environment.get(name) or os.environ.get(name) or self._kept.get(name)
            if value is None and (wanted.required or wanted.own):
                value = self._kept[name] = secrets.token_hex(SECRET_BYTES)
                self._new = True
            if value is not None:
                found[name] = value
        return found

    def save(self) -> None:
        """Keep what was made up, readable by the owner only.

        :raises OvError: it cannot be written.
        """
        if self._new and self._path is not None:
            with explaining("cannot keep the secrets of the layers", self._path):
                write_atomic(self._path, state_text(dict(self._kept), lines=True), mode=0o600)
            self._new = False


def variables_of(wanted: Wanted, layer: LayerSpec) -> dict[str, str]:
    """The deployment's variables, and the defaults of those that the layer asks for.

    :raises InputError: the layer cannot do without one that nobody sets.
    """
    found = with_defaults(layer, wanted.deployment.environment)
    for one in missing(layer, found):
        name = name_of(one)
        hint = f"env: [{name}=…] in {wanted.deployment.name} of deploy.yml"
        raise InputError(f"layer {layer.name} needs the variable {name}", hint=hint, where=one.where)
    return found


def environment_names(layers: Iterable[LayerSpec]) -> tuple[str, ...]:
    """The variables of this process's environment that the layers' secrets may come from."""
    return tuple(sorted({name_of(one) for layer in layers for one in layer.secrets}))

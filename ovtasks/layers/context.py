"""What kinds of operations are given: the layer, the system, and what the names in its texts stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ovtasks.errors import InputError, Where
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.manifests import program_folders
from ovtasks.layers.operation import ROOT, Skipped
from ovtasks.project.layer_model import LayerPart, LayerSpec, Named
from ovtasks.values.arch import arch_of

_NAME = re.compile(r"\$\{(\w+)\}|\$(\w+)|%\(ENV_(\w+)\)s", re.ASCII)
_BRACED = re.compile(r"\$\{(\w+)\}", re.ASCII)


@dataclass
class LayerContext:
    """One layer that is compiled for one system. ``skipped`` collects what it cannot do there.

    ``environment`` is what the deployment adds (``env`` of ``deploy.yml``); ``secrets`` are values by name. ``below``
    are the layers that it needs, at any distance and in order: commands see their variables and programs.
    """

    layer: LayerSpec
    facts: SystemFacts
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    below: Sequence[LayerSpec] = ()

    @property
    def variables(self) -> dict[str, str]:
        """What ``${NAME}`` stands for. The layer's own ``vars`` win over ours, as they are written by its author.

        One of them may name those before it as ``${NAME}``.
        """
        facts = self.facts
        ours = {
            "HOME": facts.home,
            "USER": facts.user,
            "UID": str(facts.uid),
            "GID": str(facts.gid),
            "ARCH": arch_of(facts.arch).oci,
            "BUILD_ARCH": facts.arch,
        }
        known = ours | dict(self.environment)
        for name, value in self.layer.variables.items():
            known[name] = _BRACED.sub(lambda match: known.get(match[1], match[0]), value)
        return known

    @property
    def path_append(self) -> tuple[Named, ...]:
        """Folders that the layer adds to PATH.

        :raises InputError, OvError: as :func:`program_path`.
        """
        return program_path(self.layer)

    def expand(self, text: str, where: Where) -> str:
        """``text`` with ``${NAME}``, ``$NAME``, ``%(ENV_NAME)s`` and a ``~`` at its beginning replaced.

        :raises InputError: nobody says what a name stands for.
        """
        known = self.variables

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2] or match[3]
            if name not in known:
                hint = f"add it to vars: of the layer; known are {', '.join(sorted(known))}"
                raise InputError(f"nothing says what {match[0]} stands for", hint=hint, where=where)
            return known[name]

        found = _NAME.sub(value, text)
        return self.facts.home + found[1:] if found == "~" or found.startswith("~/") else found

    def account(self, part: LayerPart) -> str:
        """Who runs a task: ``root``, the guest's user for ``${USER}``, a name, or ``uid:gid``. The default is root."""
        written = part.data.get("user", ROOT)
        return self.expand(str(written), part.place("user"))

    def skip(self, what: str, why: str, where: Where) -> None:
        """Note something that this system cannot do."""
        self.skipped.append(Skipped(what, why, where))


def program_path(layer: LayerSpec) -> tuple[Named, ...]:
    """Folders that a layer adds to PATH: those that it names, and those of what npm, pixi and cargo put in.

    :raises InputError, OvError: a file of theirs is wrong, or cannot be read.
    """
    return (*layer.path_append, *(Named(folder, layer.where) for folder in program_folders(layer)))

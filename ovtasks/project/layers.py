"""The layers of a project: ``layers/<name>/layer.yml``, each read on first use, and their order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.model import Project, VmSpec
from ovtasks.project.places import LAYER_FILE, display
from ovtasks.project.schema import Checker

if TYPE_CHECKING:
    from ovtasks.machine.machine import Snippet
    from ovtasks.project.layer_model import LayerSpec

FOLDER = "layers"
TOOLS = {"package.json": "nodejs", "pixi.toml": "pixi", "environment.yml": "pixi", "Cargo.toml": "rust"}
"""Layers that bring what a file beside ``layer.yml`` needs; they are needed when the project has them."""
_REMOTE = re.compile(r"@[^:]+/(?P<name>[^/:@]+)(?::[^/]*)?")


class Layers:
    """The layers of the project in ``root``, each read on first use. Every file that is read is told to ``note``."""

    def __init__(self, root: Path, checker: Checker, note: Callable[[Path], None]) -> None:
        self.folder = root / FOLDER
        self.checker = checker
        self.note = note
        self._read: dict[str, tuple[LayerSpec | None, list[InputError]]] = {}
        self._whole: set[str] = set()
        self._reading: set[str] = set()

    def order(self, wanted: Iterable[tuple[str, Where]], errors: list[InputError]) -> list[LayerSpec]:
        """The layers and everything they need, each once and after its needs. What is wrong is added to ``errors``."""
        found: dict[str, LayerSpec] = {}
        wrong: list[InputError] = []
        for name, where in wanted:
            before = len(wrong)
            self._visit(name, where, found, wrong, ())
            if len(wrong) == before:
                self._whole |= found.keys()
        known = {str(error) for error in errors}
        errors += [error for text, error in {str(one): one for one in wrong}.items() if text not in known]
        return list(found.values())

    def all(self, errors: list[InputError]) -> list[LayerSpec]:
        """Every layer of the project that is not wrong, by name. What is wrong is added to ``errors``."""
        for name in self.names():
            self.order([(name, Where(display(self.folder / name / LAYER_FILE), 1, 1))], errors)
        return [layer for _, (layer, _) in sorted(self._read.items()) if layer is not None]

    def whole(self) -> list[LayerSpec]:
        """The layers that were asked for and are right, with everything they need, by name."""
        return [layer for name in sorted(self._whole) if (layer := self._read[name][0]) is not None]

    def names(self) -> list[str]:
        """The names of all layers, sorted."""
        try:
            return sorted(path.parent.name for path in self.folder.glob(f"*/{LAYER_FILE}"))
        except OSError:
            return []

    def _visit(
        self, name: str, where: Where, found: dict[str, LayerSpec], errors: list[InputError], above: tuple[str, ...]
    ) -> None:
        if name in above:
            circle = " → ".join((*above[above.index(name) :], name))
            message = f"layers need each other in a circle: {circle}"
            errors.append(InputError(message, hint="remove one of these needs", where=where))
        elif name not in found and (layer := self._get(name, where, errors)) is not None:
            for need, place in layer.requires:
                self._visit(need, place, found, errors, (*above, name))
            found.setdefault(name, layer)

    def _get(self, name: str, where: Where, errors: list[InputError]) -> LayerSpec | None:
        if name not in self._read:
            if name.startswith("@"):
                errors.append(_remote(name, where))
                return None
            path = self.folder / name / LAYER_FILE
            if "/" in name or name in {".", ".."} or not os.path.isfile(path):  # noqa: PTH113 — takes any text
                self.note(self.folder)
                if "/" not in name:
                    self.note(path)
                errors.append(InputError(f"there is no layer '{name}'", hint=self._known(name), where=where))
                return None
            self.note(path)
            self.note(path.parent)  # other files in it mean something by being there
            from ovtasks.project.layer_file import read_layer  # most projects have no layers

            found, wrong = read_layer(path, self.checker)
            self._reading.add(name)
            self._read[name] = found and self._with_tools(found), wrong
        layer, wrong = self._read[name]
        errors += wrong
        return layer

    def _with_tools(self, layer: LayerSpec) -> LayerSpec:
        """The layer, with a need for the layers that bring what files beside it need."""
        from ovtasks.project.layer_model import Named

        needs = list(layer.requires)
        for file, tool in TOOLS.items():
            if file not in layer.files or tool in {layer.name, *(need.name for need in needs)}:
                continue
            self.note(self.folder / tool / LAYER_FILE)
            if (self.folder / tool / LAYER_FILE).is_file() and layer.name not in self._below(tool):
                needs.append(Named(tool, Where(display(layer.files[file]), 1, 1)))
        return replace(layer, requires=tuple(needs))

    def _below(self, name: str) -> set[str]:
        """The names of a layer and of all that it needs, as far as they are there; what is being read is left out."""
        found: set[str] = set()
        wanted = [name]
        while wanted:
            one = wanted.pop()
            known = one in self._read or one not in self._reading
            if one not in found and known and (layer := self._get(one, Where(""), [])) is not None:
                wanted += [need.name for need in layer.requires]
            found.add(one)
        return found

    def _known(self, name: str) -> str:
        from ovtasks.values.words import did_you_mean

        names = self.names()
        if hint := did_you_mean(name, names, most=1, cutoff=0.5):
            return hint
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return f"there are {', '.join(names[:8])}{more}" if names else f"a layer is a file {FOLDER}/<name>/{LAYER_FILE}"


def layers_of(project: Project, wanted: Sequence[tuple[str, Where]]) -> list[LayerSpec]:
    """The layers and everything they need, each once and after its needs.

    Those that the project's deployments and images name were read with it; others are read now.

    :raises InputErrors: one is missing or wrong.
    """
    errors: list[InputError] = []
    if not all(name in project.layers for name, _ in wanted):
        found = Layers(project.root, Checker(), lambda path: None).order(wanted, errors)
        if errors:
            raise InputErrors(errors)
        return found
    ordered: dict[str, LayerSpec] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            for need in project.layers[name].requires:
                visit(need.name)
            ordered[name] = project.layers[name]

    for name, _ in wanted:
        visit(name)
    return list(ordered.values())


def _remote(name: str, where: Where) -> InputError:
    """The error for a layer of another repository."""
    match = _REMOTE.fullmatch(name)
    own = match["name"] if match else "<name>"
    hint = f"put the layer's folder into {FOLDER}/{own} of this project, and write {own}"
    return InputError(f"layer '{name}' is in another repository, and nothing is fetched", hint=hint, where=where)


def snippets_of(vm: VmSpec, instance: str | None) -> tuple[Snippet, ...]:
    """The XML for this instance: from layers, in their order, then from the spec.

    :raises InputError: as :func:`~ovtasks.machine.xml.merge.own_snippets`.
    """
    from ovtasks.machine.machine import Snippet
    from ovtasks.machine.xml.merge import distinct, own_snippets

    layers = [
        Snippet(xml.text, f"layer {xml.layer}", where=Where(xml.file, xml.line, xml.column), begins=xml.begins)
        for xml in vm.layers
        if xml.instance in {None, instance}
    ]
    return distinct([*layers, *own_snippets(vm.libvirt)])

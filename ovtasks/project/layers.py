"""The layers of a project: ``layers/<name>/layer.yml``, each read on first use, and their order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import InputError, Where
from ovtasks.project.model import VmSpec
from ovtasks.project.places import LAYER_FILE, display
from ovtasks.project.schema import Checker

if TYPE_CHECKING:
    from ovtasks.machine.machine import Snippet
    from ovtasks.project.layer_model import LayerSpec

FOLDER = "layers"
_REMOTE = re.compile(r"@[^:]+/(?P<name>[^/:@]+)(?::[^/]*)?")


class Layers:
    """The layers of the project in ``root``, each read on first use. Every file that is read is told to ``note``."""

    def __init__(self, root: Path, checker: Checker, note: Callable[[Path], None], errors: list[InputError]) -> None:
        self.folder = root / FOLDER
        self.checker = checker
        self.note = note
        self.errors = errors
        self._read: dict[str, LayerSpec | None] = {}

    def order(self, wanted: Sequence[tuple[str, Where]]) -> list[LayerSpec]:
        """The layers and everything they need, each once and after its needs."""
        found: dict[str, LayerSpec] = {}
        for name, where in wanted:
            self._visit(name, where, found, ())
        return list(found.values())

    def all(self) -> list[LayerSpec]:
        """Every layer of the project that is not wrong, by name; what is wrong with the others is among the errors."""
        for name in self.names():
            self.order([(name, Where(display(self.folder / name / LAYER_FILE), 1, 1))])
        return [layer for _, layer in sorted(self._read.items()) if layer is not None]

    def names(self) -> list[str]:
        """The names of all layers, sorted."""
        try:
            return sorted(path.parent.name for path in self.folder.glob(f"*/{LAYER_FILE}"))
        except OSError:
            return []

    def _visit(self, name: str, where: Where, found: dict[str, LayerSpec], above: tuple[str, ...]) -> None:
        if name in above:
            circle = " → ".join((*above[above.index(name) :], name))
            message = f"layers need each other in a circle: {circle}"
            self._error(InputError(message, hint="remove one of these needs", where=where))
        elif name not in found and (layer := self._get(name, where)) is not None:
            for need, place in layer.requires:
                self._visit(need, place, found, (*above, name))
            found.setdefault(name, layer)

    def _error(self, error: InputError) -> None:
        if str(error) not in {str(known) for known in self.errors}:
            self.errors.append(error)

    def _get(self, name: str, where: Where) -> LayerSpec | None:
        if name not in self._read:
            if name.startswith("@"):
                self._error(_remote(name, where))
                return None
            path = self.folder / name / LAYER_FILE
            if "/" in name or name in {".", ".."} or not os.path.isfile(path):  # noqa: PTH113 — takes any text
                self.note(self.folder)
                if "/" not in name:
                    self.note(path)
                self._error(InputError(f"there is no layer '{name}'", hint=self._known(name), where=where))
                return None
            self.note(path)
            from ovtasks.project.layer_file import read_layer  # most projects have no layers

            self._read[name], errors = read_layer(path, self.checker)
            self.errors += errors
        return self._read[name]

    def _known(self, name: str) -> str:
        import difflib

        names = self.names()
        guess = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if guess:
            return f"did you mean '{guess[0]}'?"
        return f"there are {', '.join(names[:8])}" if names else f"a layer is a file {FOLDER}/<name>/{LAYER_FILE}"


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

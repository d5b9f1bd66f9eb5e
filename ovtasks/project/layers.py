"""``layers/<name>/layer.yml``. Of a layer this version reads which others it needs, and its XML for the domain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovtasks.errors import InputError, Where
from ovtasks.host.yamlfile import read_yaml
from ovtasks.project.model import LayerXml, VmSpec
from ovtasks.project.places import display
from ovtasks.project.schema import Checker
from ovtasks.project.xml_rules import problem
from ovtasks.values.yamlio import Document, Key

if TYPE_CHECKING:
    from ovtasks.machine.machine import Snippet

FOLDER = "layers"
FILE = "layer.yml"


@dataclass(frozen=True)
class Layer:
    """A layer. ``needs`` are the layers that come before it, with the places where they are named."""

    name: str
    needs: tuple[tuple[str, Where], ...]
    xml: tuple[LayerXml, ...]


class Layers:
    """The layers of the project in ``root``, each read on first use. Every file that is read is told to ``note``."""

    def __init__(self, root: Path, checker: Checker, note: Callable[[Path], None], errors: list[InputError]) -> None:
        self.folder = root / FOLDER
        self.checker = checker
        self.note = note
        self.errors = errors
        self._read: dict[str, Layer | None] = {}

    def order(self, wanted: Sequence[tuple[str, Where]]) -> list[Layer]:
        """The layers and everything they need, each once and after its needs."""
        found: dict[str, Layer] = {}
        for name, where in wanted:
            self._visit(name, where, found, ())
        return list(found.values())

    def _visit(self, name: str, where: Where, found: dict[str, Layer], above: tuple[str, ...]) -> None:
        if name in above:
            circle = " → ".join((*above[above.index(name) :], name))
            message = f"layers need each other in a circle: {circle}"
            self._error(InputError(message, hint="remove one of these needs", where=where))
        elif name not in found and (layer := self._get(name, where)) is not None:
            for need, place in layer.needs:
                self._visit(need, place, found, (*above, name))
            found.setdefault(name, layer)

    def _error(self, error: InputError) -> None:
        if str(error) not in {str(known) for known in self.errors}:
            self.errors.append(error)

    def _get(self, name: str, where: Where) -> Layer | None:
        if name not in self._read:
            path = self.folder / name / FILE
            if "/" in name or name in {".", ".."} or not os.path.isfile(path):  # noqa: PTH113 — takes any text
                self.note(self.folder)
                if "/" not in name:
                    self.note(path)
                self._error(InputError(f"there is no layer '{name}'", hint=self._known(name), where=where))
                return None
            self._read[name] = self._load(name, path)
        return self._read[name]

    def _known(self, name: str) -> str:
        import difflib

        try:
            names = sorted(path.parent.name for path in self.folder.glob(f"*/{FILE}"))
        except OSError:
            names = []
        guess = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if guess:
            return f"did you mean '{guess[0]}'?"
        return f"there are {', '.join(names[:8])}" if names else f"a layer is a file {FOLDER}/<name>/{FILE}"

    def _load(self, name: str, path: Path) -> Layer | None:
        self.note(path)
        try:
            documents = read_yaml(path, display(path))
        except InputError as e:
            self.errors.append(e)
            return None
        if not documents:
            return Layer(name, (), ())
        document = documents[0]
        if len(documents) > 1:
            hint = f"one file a layer: {FOLDER}/<name>/{FILE}"
            self.errors.append(InputError("a layer is one document", hint=hint, where=documents[1].where()))
        data, errors = self.checker.check_file(document.data, document, "layer")
        self.errors += errors
        if errors or not isinstance(data, dict):
            return None
        needs = [
            (need, document.where(key, index))
            for key in ("requires", "layers")
            for index, need in enumerate(data.get(key, ()))
        ]
        return Layer(name, tuple(needs), tuple(self._xml(name, data.get("libvirt", []), document)))

    def _xml(self, name: str, libvirt: Any, document: Document) -> Iterator[LayerXml]:
        base: tuple[Key, ...] = ("libvirt",)
        if isinstance(libvirt, dict):
            libvirt, base = libvirt.get("snippets", []), ("libvirt", "snippets")
        for index, text in enumerate(libvirt):
            path = (*base, index)
            if (error := problem(text)) is not None:
                message = f"libvirt[{index}] of layer {name}: {error.message}"
                where = document.where(*path, at=error.at)
                self.errors.append(InputError(message, hint=error.hint, where=where))
                continue
            place = document.where(*path)
            yield LayerXml(name, text, place.file, place.line, place.column, document.begins(*path))


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

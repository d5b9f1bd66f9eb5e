"""``deploy.yml``: collects the deployments of a project, and what their layers bring to the VMs' domains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovtasks.errors import InputError
from ovtasks.project.layers import Layers
from ovtasks.project.model import LayerXml
from ovtasks.project.schema import Checker
from ovtasks.values.yamlio import Document, Key

if TYPE_CHECKING:
    from ovtasks.project.declared import DeclaredVm
    from ovtasks.project.deploy_entry import Entry
    from ovtasks.project.deploy_model import Deployment

ROOTS = ("deploy", "deployments")

Layered = dict[str, tuple[LayerXml, ...]]
"""What layers bring, by VM."""


class Deployments:
    """Collects the deployments of a project, and then what they bring to its VMs."""

    def __init__(self, checker: Checker, errors: list[InputError]) -> None:
        self.checker = checker
        self.errors = errors
        self.seen: list[Entry] = []  # wrong ones, too
        self.entries: list[Entry] = []
        self.built: list[Deployment] = []

    def add(self, document: Document, file: Path) -> None:
        """Take the entries of a file, which has our names. Those with other targets than VMs are left alone."""
        if not isinstance(document.data, dict) or not any(root in document.data for root in ROOTS):
            return
        from ovtasks.project.deploy_entry import Entry
        from ovtasks.project.deploy_model import PREFIX

        data = document.data
        assert isinstance(data, dict)
        for name, value, path in _entries(data):
            if not isinstance(value, dict) or not (name.startswith(PREFIX) or value.get("target") == "vm"):
                continue
            entry, errors = self.checker.check_file(value, document, "deploy", "vm", path=path)
            found = Entry(name, entry, document, path, file)
            if (before := next((one for one in self.entries if one.name == name), None)) is not None:
                hint = f"also at {before.where(key=True)}; rename or remove one of the two"
                errors.append(found.error(f"deployment '{name}' is defined twice", key=True, hint=hint))
            self.errors += (error.of(found.owner) for error in errors)
            self.seen.append(found)
            if not errors:
                self.entries.append(found)

    def clones(self, vms: Mapping[str, DeclaredVm]) -> list[DeclaredVm]:
        """The VMs that deployments make of snapshots; what is wrong with them is noted."""
        if not self.entries:
            return []
        from ovtasks.project.deploy_clones import clones

        return clones(self.entries, vms, self.errors)

    def build(self, vms: Iterable[str]) -> list[Deployment]:
        """The deployments of the collected entries; what is wrong with them is noted."""
        names = list(vms)
        for entry in self.entries:
            from ovtasks.project.deploy_entry import build_deployment

            try:
                self.built.append(build_deployment(entry, names))
            except InputError as e:
                self.errors.append(e)
        return self.built

    def layered(self, layers: Layers) -> Layered:
        """What the layers of all deployments bring to each VM, in the order of their application."""
        found: Layered = {}
        for one in self.built:
            wrong: list[InputError] = []
            brought = [xml for layer in layers.order(one.layers, wrong) for xml in layer.xml]
            self.errors += (error.of(f"deploy:{one.name}") for error in wrong)
            found[one.vm] = (*found.get(one.vm, ()), *(xml._replace(instance=one.instance) for xml in brought))
        return found


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[str, Any, tuple[Key, ...]]]:
    """Name, value and place of each entry below ``deploy:``, ``deployments:`` and ``deployments.images``."""
    for root in ROOTS:
        found = data.get(root)
        for name, value in found.items() if isinstance(found, dict) else ():
            if (root, name) == ("deployments", "images") and isinstance(value, dict):
                yield from ((below, part, (root, name, below)) for below, part in value.items())
            else:
                yield name, value, (root, name)

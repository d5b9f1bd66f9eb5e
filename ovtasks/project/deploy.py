"""``deploy.yml``. Of the deployments to VMs this version reads only which layers they apply."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError
from ovtasks.host.yamlfile import read_yaml
from ovtasks.project.layers import Layers
from ovtasks.project.model import LayerXml
from ovtasks.project.places import display
from ovtasks.project.schema import Checker
from ovtasks.values.yamlio import Document

FILE = "deploy.yml"
PREFIX, SUFFIX = "vm:", "-vm"

Layered = dict[str, tuple[LayerXml, ...]]
"""What layers bring, by VM."""


class Deployments:
    """Collects the deployments of a project, and then what they bring to its VMs."""

    def __init__(self, checker: Checker, errors: list[InputError]) -> None:
        self.checker = checker
        self.errors = errors
        self.entries: list[tuple[str, Mapping[str, Any], Document]] = []

    def read(self, path: Path) -> None:
        """Read one ``deploy.yml``."""
        try:
            documents = read_yaml(path, display(path))
        except InputError as e:
            self.errors.append(e)
            return
        for document in documents:
            data, errors = self.checker.check_file(document.data, document, "deploy")
            self.errors += errors
            if isinstance(data, dict):
                self.add(data, document)

    def add(self, data: Mapping[str, Any], document: Document) -> None:
        """Take the entries below ``deploy:`` of a file. Those with other targets than VMs are left alone."""
        found = data.get("deploy")
        for name, value in found.items() if isinstance(found, dict) else ():
            if not isinstance(value, dict) or not (name.startswith(PREFIX) or value.get("target") == "vm"):
                continue
            entry, errors = self.checker.check_file(value, document, "deploy", "vm", path=("deploy", name))
            self.errors += errors
            if not errors:
                self.entries.append((name, entry, document))

    def layered(self, vms: Iterable[str], layers: Layers) -> Layered:
        """What the layers of all deployments bring to each VM, in the order of their application."""
        names = list(vms)
        found: Layered = {}
        for name, entry, document in self.entries:
            wanted = [
                (layer, document.where("deploy", name, "add_layers", index))
                for index, layer in enumerate(entry.get("add_layers", ()))
            ]
            brought = [xml for layer in layers.order(wanted) for xml in layer.xml]
            target = self._target(name, entry, document, names)
            if target is not None:
                vm, instance = target
                found[vm] = (*found.get(vm, ()), *(xml._replace(instance=instance) for xml in brought))
        return found

    def _target(
        self, name: str, entry: Mapping[str, Any], document: Document, vms: list[str]
    ) -> tuple[str, str | None] | None:
        """The VM of a deployment, and its instance (None: every instance)."""
        place = ("deploy", name)
        written = entry.get("vm") or entry.get("vm_source")
        own, _, instance = name.removeprefix(PREFIX).partition("/")
        where = document.where(*place, key=True)
        if written is not None:
            where = document.where(*place, "vm" if "vm" in entry else "vm_source")
        elif own not in vms and own.endswith(SUFFIX):
            own = own.removesuffix(SUFFIX)
        vm = written or own
        if vm in vms:
            return vm, instance or None
        self.errors.append(InputError(f"no VM '{vm}' is declared", hint=_hint(vm, vms), where=where))
        return None


def _hint(vm: str, vms: list[str]) -> str:
    guess = difflib.get_close_matches(vm, vms, n=1, cutoff=0.5)
    if guess:
        return f"did you mean '{guess[0]}'?"
    return "vm: names the VM" + (f"; declared are {', '.join(vms[:8])}" if vms else "")

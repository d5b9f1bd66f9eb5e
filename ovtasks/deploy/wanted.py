"""What a command wants of an instance: the deployment, its layers as declared, and what it may do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovtasks.deploy.own_wheel import brings_wheel, own_files
from ovtasks.errors import InputError, Where
from ovtasks.instance.find import find_or_none
from ovtasks.instance.record import domain_of
from ovtasks.project.deploy_entry import reserved
from ovtasks.project.deploy_model import PREFIX, Deployment, InstallOptions
from ovtasks.project.layer_model import LayerSpec, Named
from ovtasks.project.layers import layers_of
from ovtasks.project.model import Project, VmSpec
from ovtasks.project.places import DEPLOY_FILE, LAYER_FILE, display
from ovtasks.values.words import did_you_mean

COMMAND_LINE = Where("ov deploy")
"""The place of what a user names on the command line."""


@dataclass(frozen=True)
class Wanted:
    """A deployment with its layers in the order in which they are applied.

    ``options`` are those of the entry and of the command line. ``files`` are what they are made from, which began
    to be read at ``began_ns`` (nanoseconds since the epoch).
    """

    project: Project
    deployment: Deployment
    layers: tuple[LayerSpec, ...]
    options: InstallOptions
    files: tuple[Path, ...] = ()
    began_ns: int = 0

    @property
    def vm(self) -> VmSpec | None:
        """The VM as declared; None if it no longer is."""
        return self.project.vms.get(self.deployment.vm)


def find_deployment(project: Project, name: str) -> Deployment:
    """The deployment called ``name``: by its own name, or by the instance that it is for (``vm:arch/dev``).

    Without such an entry it is a new one, which no file has yet.

    :raises InputError: ``name`` names no VM or may not be used, or several entries are for that instance.
    """
    if name in project.deployments:
        found = project.deployments[name]
    else:
        vm, _, instance = name.removeprefix(PREFIX).partition("/")
        if not name.startswith(PREFIX) or vm not in project.vms:
            raise InputError(f"'{name}' is not a deployment", hint=_hint(project, name))
        domain_of(vm, instance or None)
        if (why := reserved(name, instance or None)) is not None:
            raise InputError(f"'{name}' cannot be a deployment: {why}", hint="use another name")
        file = project.root / DEPLOY_FILE
        found = Deployment(name, vm, Where(display(file)), file, instance or None)
    same = [one for one in project.deployments.values() if (one.vm, one.instance) == (found.vm, found.instance)]
    if len(same) > 1:
        hint = f"make one of them: {' and '.join(f'{one.name} ({one.where})' for one in same)}"
        raise InputError(f"several deployments are for {found.words}", hint=hint, where=same[1].where)
    return same[0] if same else found


def find_leftover(project: Project, name: str) -> Deployment:
    """Like :func:`find_deployment`; also an instance whose VM is no longer declared.

    :raises InputError: there is neither.
    """
    vm, _, instance = name.removeprefix(PREFIX).partition("/")
    if name not in project.deployments and name.startswith(PREFIX) and vm not in project.vms:
        record = find_or_none(vm, instance or None)
        if record is not None and record.project == project.root:
            return Deployment(name, vm, COMMAND_LINE, project.root / DEPLOY_FILE, instance or None)
    return find_deployment(project, name)


def _hint(project: Project, name: str) -> str:
    names = [*project.deployments, *(f"{PREFIX}{vm}" for vm in project.vms)]
    for text in (name, f"{PREFIX}{name}"):
        if hint := did_you_mean(text, names, most=1, cutoff=0.65):
            return hint
    return f"name a deployment of deploy.yml, or vm:NAME; there are {', '.join(names[:8])}" if names else "no VMs yet"


def with_layers(project: Project, deployment: Deployment, words: Iterable[str]) -> Deployment:
    """The deployment with further layers; a word is a layer's name, or an image's of image.yml, for its layers."""
    have = {layer.name for layer in deployment.layers}
    more = [name for word in words for name in _layers_of(project, word)]
    new = tuple(Named(name, COMMAND_LINE) for name in dict.fromkeys(more) if name not in have)
    return replace(deployment, layers=(*deployment.layers, *new))


def without_layers(deployment: Deployment, project: Project, words: Iterable[str]) -> Deployment:
    """The deployment without some of its layers.

    :raises InputError: it does not name one of them.
    """
    gone = [name for word in words for name in _layers_of(project, word)]
    have = [layer.name for layer in deployment.layers]
    for name in gone:
        if name not in have:
            hint = f"they are {', '.join(have)}" if have else "it has none"
            raise InputError(f"'{name}' is not a layer of {deployment.name}", hint=hint, where=deployment.where)
    return replace(deployment, layers=tuple(layer for layer in deployment.layers if layer.name not in gone))


def _layers_of(project: Project, word: str) -> Sequence[str]:
    """The layers that a word stands for. An image's come after those of the images below it."""
    if (project.root / "layers" / word / "layer.yml").is_file() or word not in project.images:
        return (word,)
    found: list[str] = []
    seen: set[str] = set()
    name: str | None = word
    while name is not None and name in project.images and name not in seen:
        seen.add(name)
        image = project.images[name]
        found = [*image.layers, *found]
        name = image.base
    if not found:
        hint = "name a layer, or an image that has layers:"
        raise InputError(f"image '{word}' has no layers", hint=hint, where=project.images[word].where)
    return found


def read_wanted(project: Project, deployment: Deployment, options: InstallOptions) -> Wanted:
    """The deployment with its layers read.

    :raises InputErrors: a layer is missing or wrong.
    """
    began = time.time_ns()
    found = layers_of(project, deployment.layers)
    files = [path for layer in found for path in (layer.folder, layer.folder / LAYER_FILE)]
    wanted = Wanted(project, deployment, tuple(found), deployment.options.over(options), tuple(files), began)
    if wanted.vm is None or not brings_wheel(wanted.vm):
        return wanted
    return replace(wanted, files=(*files, *(path for _, path in own_files())))

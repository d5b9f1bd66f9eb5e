"""``source.kind: bootstrap``: a bootable image from the packages of Debian or Ubuntu, by mmdebstrap.

Shim, GRUB and the kernel are the distribution's signed ones, so the image boots with BIOS, UEFI and Secure Boot.
The same packages make the same bytes: times and identifiers come from the packages and from the recipe.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.graph.workspace import Workspace
from ovtasks.host.files import write_atomic
from ovtasks.host.paths import image_store
from ovtasks.host.run import run
from ovtasks.images.store import Store
from ovtasks.jsonvalue import Json, canonical, digest
from ovtasks.sources.bootstrap import disk, tree
from ovtasks.sources.bootstrap.recipe import Recipe, resolve
from ovtasks.spec.model import BootstrapSource, Project, VmSpec

FORMAT = "qcow2"


class Bootstrap:
    """The source plug-in: one base step per recipe, then the chain that cloud images have too."""

    kind = "bootstrap"
    schema: Mapping[str, Json] | None = None

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """:raises InputError: the source names something that cannot be made."""
        return [base_step(vm, project, options)]


@dataclass(frozen=True, slots=True)
class Image:
    """A finished base image in the store."""

    sha256: str
    virtual_size: int
    packages: tuple[str, ...]


def base_step(vm: VmSpec, project: Project, options: BuildOptions) -> Step:
    """The step that makes the base image; VMs with the same recipe share it by its name.

    Its facts are ``sha256``, ``format``, ``virtual_size`` (bytes) and ``path``, relative to the project's root.

    :raises InputError: the source names something that cannot be made.
    """
    assert isinstance(vm.source, BootstrapSource)
    recipe = resolve(vm.source, vm.where, platform.machine())
    return Step(
        name=f"base:{recipe.key}",
        inputs=recipe.inputs,
        targets=(project.output / ".images" / f"bootstrap-{recipe.key}.json",),
        run=partial(_run, recipe, project, vm.where),
        title=f"{recipe.distro} {recipe.suite} base image",
        shared=True,
        refresh="packages are fetched anew (--refresh)" if options.refresh else None,
    )


def _run(recipe: Recipe, project: Project, where: Where, ws: Workspace) -> None:
    store = Store(image_store())
    scratch = project.state / "work" / recipe.key
    with store.lock(f"bootstrap-{recipe.key}", waiting=lambda who: ws.progress.note(f"waiting for {who}")):
        image = build(recipe, store, scratch, where, ws)
    path = project.output / ".images" / f"{image.sha256}.{FORMAT}"
    store.link(image.sha256, path)
    facts: dict[str, Json] = {
        "sha256": image.sha256,
        "format": FORMAT,
        "virtual_size": image.virtual_size,
        "path": str(path.relative_to(project.root)),
    }
    for key, value in facts.items():
        ws.fact(key, value)
    ws.fact("packages", digest(image.packages))
    (target,) = ws.step.targets
    record = {**facts, "recipe": recipe.inputs, "packages": image.packages}
    write_atomic(ws.part(target), canonical(record) + "\n")
    ws.commit(target, digest=f"sha256:{image.sha256}")
    ws.also(path, digest=f"sha256:{image.sha256}")


def build(recipe: Recipe, store: Store, scratch: Path, where: Where, ws: Workspace) -> Image:
    """Make the image in ``scratch``, which is empty before and gone after, and put it into the store.

    :raises InputError: no such suite or package. :raises OvError: a tool is missing or failed, no network, no space.
    """
    part = store.part(f"bootstrap-{recipe.key}")
    tree.remove(scratch)
    scratch.mkdir(parents=True)
    try:
        made = tree.make(recipe, scratch, ws.progress, where)
        ws.progress.update(75, 100, "%")
        ws.progress.note(f"{len(made.packages)} packages; making the {recipe.rootfs} disk")
        raw = disk.assemble(recipe, made, scratch)
        ws.progress.update(85, 100, "%")
        part.parent.mkdir(parents=True, exist_ok=True)
        run(["qemu-img", "convert", "-c", "-f", "raw", "-O", FORMAT, "-o", "compression_type=zstd", raw.path, part])
        sha256 = _digest_durably(part)
        store.add(part, sha256)
        ws.progress.update(100, 100, "%")
        return Image(sha256, raw.size, made.packages)
    finally:
        part.unlink(missing_ok=True)
        tree.remove(scratch)


def _digest_durably(path: Path) -> str:
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return value

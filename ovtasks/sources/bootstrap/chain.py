"""Makes a bootable image from packages: of Debian or Ubuntu with mmdebstrap, of Arch Linux or CachyOS with pacstrap.

Debian's and Ubuntu's shim, GRUB and kernel are signed, so the image boots with BIOS, UEFI and Secure Boot; Arch's are
not. Of Debian and Ubuntu the same packages give the same bytes, because times and identifiers come from the packages
and the recipe. btrfs is the exception: mkfs.btrfs makes some identifiers at random.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.beneath import make_folder
from ovtasks.host.files import flock, link_or_copy
from ovtasks.host.paths import image_store
from ovtasks.host.run import require, run
from ovtasks.images.store import Store
from ovtasks.project.model import BootstrapSource, Project, VmSpec
from ovtasks.sources.bootstrap import image, kept, pacstrap, tree
from ovtasks.sources.bootstrap.kept import Image
from ovtasks.sources.bootstrap.programs import OF_ROOT, PACSTRAP_PROGRAMS, PROGRAMS
from ovtasks.sources.bootstrap.recipe import Recipe, resolve
from ovtasks.sources.bootstrap.sandbox import by_sudo, probe
from ovtasks.sources.console import CONSOLE
from ovtasks.sources.disk import IMAGES, base_facts, disk_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.values.jsonvalue import canonical, digest

FORMAT = "qcow2"


def bootstrap_steps(vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
    """One base step per recipe, shared by all VMs that have it, then the same chain as for cloud images.

    :raises InputError: the source asks for something that this kind cannot make.
    """
    base = base_step(vm, project, options)
    disk = disk_step(vm, project, options, base=base.name)
    key = key_step(vm)
    return [base, disk, *([key] if key else []), seed_step(vm, project, options.type, disk.name)]


def base_step(vm: VmSpec, project: Project, options: BuildOptions) -> Step:
    """The step that makes the base image; VMs with the same recipe share it by its name.

    Its facts are ``sha256``, ``format``, ``virtual_size`` (bytes) and ``path``, relative to the project's root.

    :raises InputError: the source asks for something that this kind cannot make.
    """
    assert isinstance(vm.source, BootstrapSource)
    recipe = resolve(vm.source, vm.where, platform.machine())
    return Step(
        name=f"base:@{recipe.key}",
        inputs=recipe.inputs,
        targets=(project.output / IMAGES / f"bootstrap-{recipe.key}.json",),
        run=partial(_run, recipe, project, vm.where, bool(options[CONSOLE]), options.refresh),
        title=f"{recipe.distro} {recipe.suite} root image".replace("  ", " "),
        reads=recipe.pacman.keyrings if recipe.pacman else (),
        makes="base image",
        shared=True,
        refresh="packages are fetched anew (--refresh)" if options.refresh else None,
    )


def _run(recipe: Recipe, project: Project, where: Where, loud: bool, anew: bool, ws: Workspace) -> None:
    store = Store(image_store())
    scratch = project.state / "work" / recipe.key
    with store.lock(f"bootstrap-{recipe.key}", waiting=lambda who: ws.progress.note(f"waiting for {who}")):
        found = None if anew or loud else kept.find(recipe, store)
        if found:
            ws.progress.note("the image is in the store already (--refresh makes it again)")
        built = found or build(recipe, store, scratch, where, ws, loud=loud)
    path = project.output / IMAGES / f"{built.sha256}.{FORMAT}"
    store.link(built.sha256, path)
    base_facts(ws, built.sha256, FORMAT, built.virtual_size, path.relative_to(project.root))
    stamp = {**ws.facts, "recipe": recipe.inputs, "packages": built.packages}
    ws.fact("packages", digest(built.packages))
    (target,) = ws.step.targets
    ws.write(target, canonical(stamp) + "\n")
    ws.commit(target, digest=f"sha256:{built.sha256}")
    ws.also(path, digest=f"sha256:{built.sha256}")


def build(recipe: Recipe, store: Store, scratch: Path, where: Where, ws: Workspace, *, loud: bool = False) -> Image:
    """Make the image in the folder ``scratch``, put it into the store, and remove ``scratch``.

    ``loud`` shows what the programs say.

    :raises InputError: there is no such suite or package.
    :raises OvError: a tool is missing or failed, the network is down, or space is short.
    """
    maker = pacstrap.make if recipe.pacman else tree.make
    for program in (*(PACSTRAP_PROGRAMS if recipe.pacman else (*PROGRAMS, "apt-get")), *OF_ROOT[recipe.rootfs]):
        require(program)  # fail at once, not after a minute
    (pacstrap.check if recipe.pacman else tree.check_keys)(recipe)
    probe()
    if seconds := kept.seconds_last_time(store):
        ws.progress.note(f"about {seconds:.0f} s, like the last one")
    if by_sudo(os.geteuid()):
        ws.progress.note("user namespaces are forbidden here: making the root tree with sudo")
    make_folder(scratch.parent)
    with flock(tree.lock_of(scratch)):
        tree.sweep(scratch.parent)
        tree.remove(scratch)
        scratch.mkdir()
        try:
            with kept.timed(ws.progress, store) as progress:
                made = maker(recipe, scratch, progress, where, loud=loud)
                progress.update(75, 100, "%")
                progress.note(f"{len(made.packages)} packages; making the {recipe.rootfs} disk")
                raw = image.assemble(recipe, made, scratch)
                progress.update(85, 100, "%")
                sha256 = _store(raw.path, scratch / f"disk.{FORMAT}", store, f"bootstrap-{recipe.key}")
                progress.update(100, 100, "%")
            built = Image(sha256, raw.size, made.packages)
            kept.keep(recipe, store, built)
            return built
        finally:
            tree.remove(scratch)


def _store(raw: Path, converted: Path, store: Store, key: str) -> str:
    """Compress the disk and put it into the store; returns its sha256."""
    options = ["-c", "-f", "raw", "-O", FORMAT, "-o", "compression_type=zstd"]
    run(["qemu-img", "convert", *options, raw, converted])
    with converted.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    part = store.part(key)
    with store.guard("put an image into the store"):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        link_or_copy(converted, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
    store.add(part, sha256)
    return sha256

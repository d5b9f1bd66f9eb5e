"""The chain that lets a container image install itself to a disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovtasks.graph.freshness import check
from ovtasks.graph.step import BuildOptions, Step, need_keys
from ovtasks.project.model import Project, VmSpec
from ovtasks.seed.wanted import wants_seed
from ovtasks.sources.bootc.convert import convert_name, convert_step
from ovtasks.sources.bootc.install import install_name, install_step
from ovtasks.sources.bootc.stamp import GONE
from ovtasks.sources.bootc.vm_image import vm_image_steps
from ovtasks.sources.seed import key_step, seed_step


def bootc_steps(vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
    """``image → install → convert``, and the seed if the VM wants cloud-init. VMs of one image share ``image``.

    :raises InputError: the image is neither declared nor a full reference, or an SSH key is wrong.
    """
    images = vm_image_steps(vm, project, options)
    key = key_step(vm)
    disk = install_name(vm, options.type)
    makes = [install_step(vm, project, options, images[-1].name, key.name if key else None)]
    if options.type != "raw":
        makes.append(convert_step(vm, project, options, disk))
        disk = convert_name(vm)
    steps = [*unless_settled(images, key, makes), *([key] if key else []), *makes]
    if wants_seed(vm):
        steps.append(seed_step(vm, project, options.type, disk))
    return steps


def unless_settled(images: Sequence[Step], key: Step | None, makes: Sequence[Step]) -> Sequence[Step]:
    """``images``, but those that are only missing from podman's storage are not brought back without need.

    They are needed if a step of ``makes`` has to run. So a disk that a CI cache restored on another machine stays
    fresh: its image is neither built nor installed again.
    """
    if not any(step.refresh and step.refresh.endswith(GONE) for step in images):
        return images
    kept = [replace(step, refresh=None) if (step.refresh or "").endswith(GONE) else step for step in images]
    digests: dict[str, str | None] = {}
    for step in (*kept, *([key] if key else []), *makes):
        keys = need_keys(step.needs)
        now = check(step, {keys[name]: digests.get(name) for name in step.needs})
        if not now.fresh or now.receipt is None:
            return images
        digests[step.name] = now.receipt.digest
    return kept

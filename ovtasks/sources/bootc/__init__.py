"""``source.kind: bootc``: a container image that installs itself to a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovtasks.graph.step import BuildOptions, Step
from ovtasks.jsonvalue import Json
from ovtasks.render.cloud_init import wants_seed
from ovtasks.sources.bootc.chosen import vm_image_steps
from ovtasks.sources.bootc.convert import convert_name, convert_step
from ovtasks.sources.bootc.install import install_name, install_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.spec.model import Project, VmSpec


class Bootc:
    """The chain ``image → install → convert``, and the seed where ``cloud_init`` is asked for."""

    kind = "bootc"
    schema: Mapping[str, Json] | None = None
    options = frozenset({"root_size", "transport", "console"})

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The VM's steps; ``image`` is shared by all VMs of one container image.

        :raises InputError: the image is not declared and no full reference, or an SSH key is wrong.
        """
        images = vm_image_steps(vm, project, options)
        key = key_step(vm)
        steps = [*images, *([key] if key else [])]
        steps.append(install_step(vm, project, options, images[-1].name, key.name if key else None))
        disk = install_name(vm, options.type)
        if options.type != "raw":
            steps.append(convert_step(vm, project, options, disk))
            disk = convert_name(vm)
        if wants_seed(vm):
            steps.append(seed_step(vm, project, options.type, disk))
        return steps

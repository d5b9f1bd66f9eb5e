"""``source.kind: bootc``: a container image that installs itself to a disk; and the container images of ``images:``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.containers.environment import VARIABLES
from ovtasks.graph.plugins import SourcePlugin
from ovtasks.sources.bootc.options import OF_IMAGES, ROOT_SIZE, TRANSPORT
from ovtasks.sources.console import CONSOLE
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.graph.step import BuildOptions, Step
    from ovtasks.host.programs import Program
    from ovtasks.project.model import ImageSpec, Project, VmSpec


class Bootc(SourcePlugin):
    """The chain ``image → install → convert``, and the seed if the VM wants cloud-init."""

    kind = "bootc"
    options = (ROOT_SIZE, TRANSPORT, CONSOLE)
    verbs = ("base", "image", "key", "install", "convert", "seed")
    variables = VARIABLES

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        return ("qemu-img", "podman", "losetup", *([] if os.geteuid() == 0 else ["newuidmap"]))

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        from ovtasks.sources.bootc.chain import bootc_steps

        return bootc_steps(vm, project, options)


class ContainerImages:
    """Brings the images of ``images:``: pulls or builds them."""

    options = OF_IMAGES

    def programs(self) -> Iterable[str | Program]:
        """The programs that bring an image."""
        return ("podman",)

    def steps(self, image: ImageSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        """The image's steps; the last one is its own."""
        from ovtasks.sources.bootc.image import image_steps

        return image_steps(image, project, options)

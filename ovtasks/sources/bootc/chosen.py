"""Which steps bring a VM's container image."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.containers.transports import FILES, archive
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.sources.bootc.archive import archive_step
from ovtasks.sources.bootc.image import image_steps
from ovtasks.spec.images import image_of
from ovtasks.spec.model import BootcSource, Project, Pull, VmSpec


def vm_image_steps(vm: VmSpec, project: Project, options: BuildOptions) -> tuple[Step, ...]:
    """By the transport of the command line, else of the spec; the last step is the image's own.

    :raises InputError: the image is not declared and no full reference, or its files are not there.
    """
    source = vm.source
    assert isinstance(source, BootcSource)
    transport = options.transport or source.transport
    if transport in FILES:
        return (archive_step(archive(transport, source.image, project.root, vm.where), project, options),)
    image = image_of(vm, project)
    if transport == "containers-storage" and image.ref is not None:
        image = replace(image, pull=Pull.NEVER)
    return image_steps(image, project, options)

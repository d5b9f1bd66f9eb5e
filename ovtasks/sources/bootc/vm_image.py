"""The steps that bring a VM's container image. Each first checks whether this machine can install one."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.containers.engine import rootful
from ovtasks.containers.transports import FILES, archive
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.project.images import image_of
from ovtasks.project.model import BootcSource, Project, Pull, VmSpec
from ovtasks.sources.bootc import preflight
from ovtasks.sources.bootc.archive import archive_step
from ovtasks.sources.bootc.image import image_steps
from ovtasks.sources.bootc.options import TRANSPORT


def vm_image_steps(vm: VmSpec, project: Project, options: BuildOptions) -> tuple[Step, ...]:
    """The steps for the transport of the command line, else of the spec. The last step is the image's own.

    :raises InputError: the image is neither declared nor a full reference, or its files are missing.
    """
    return tuple(_checked(step, vm, project, options) for step in _image_steps(vm, project, options))


def _checked(step: Step, vm: VmSpec, project: Project, options: BuildOptions) -> Step:
    """``step`` with the checks before it, so that no machine pulls for minutes what it cannot install."""

    def run(ws: Workspace) -> None:
        folder = project.artifacts(vm.name, options.type)
        preflight.check(rootful(), folder, 0, options.size or vm.disk_size or 0, ws.progress.note)
        step.run(ws)

    return replace(step, run=run)


def _image_steps(vm: VmSpec, project: Project, options: BuildOptions) -> tuple[Step, ...]:
    source = vm.source
    assert isinstance(source, BootcSource)
    transport = options[TRANSPORT] or source.transport
    if transport in FILES:
        return (archive_step(archive(transport, source.image, project.root, vm.where), project, options),)
    image = image_of(vm, project)
    if transport == "containers-storage" and image.ref is not None:
        image = replace(image, pull=Pull.NEVER)
    return image_steps(image, project, options)

"""Which steps bring a VM's container image; each looks first whether this machine can install one."""

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
    """By the transport of the command line, else of the spec; the last step is the image's own.

    :raises InputError: the image is not declared and no full reference, or its files are not there.
    """
    return tuple(_checked(step, vm, project, options) for step in _image_steps(vm, project, options))


def _checked(step: Step, vm: VmSpec, project: Project, options: BuildOptions) -> Step:
    """Minutes of pulling are not for a machine that cannot go on after them."""

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

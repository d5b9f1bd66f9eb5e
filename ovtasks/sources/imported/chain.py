"""The chain of an adopted disk: look at it, make an overlay on it. Nothing ever writes to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.oserrors import explaining
from ovtasks.project.model import ImportedSource, Project, VmSpec
from ovtasks.sources.disk import IMAGES, base_facts, disk_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.values.hidden import Input

RECIPE = 1


def imported_steps(vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
    """``adopt → disk``, and the seed if the VM wants cloud-init."""
    from ovtasks.seed.wanted import wants_seed

    adopt = adopt_step(vm, project)
    disk = disk_step(vm, project, options, base=adopt.name)
    key = key_step(vm)
    steps = [adopt, disk, *([key] if key else [])]
    return [*steps, seed_step(vm, project, options.type, disk.name)] if wants_seed(vm) else steps


def adopt_step(vm: VmSpec, project: Project) -> Step:
    """The step that reads the adopted disk and links it below ``output/``.

    The link is another name of the same file, or a copy of it on another file system. What the file is, its size and
    time say until it is read: a domain that wrote to it makes this step run again.
    """
    source = vm.source
    assert isinstance(source, ImportedSource)
    inputs: dict[str, Input] = {"recipe": RECIPE, "format": source.disk_format, "disk_path": _state(source.disk_path)}
    return Step(
        name=f"adopt:{vm.name}",
        inputs=inputs,
        targets=(project.output / vm.name / "adopted.json",),
        run=lambda workspace: _adopt(workspace, vm, source, project),
        title=f"look at the disk of {source.libvirt_name}",
        reads=(source.disk_path,),
        makes="adopted disk",
    )


def _state(path: Path) -> list[int] | None:
    """Size and time of the file; None: it cannot be looked at, which the step itself reports."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _adopt(workspace: Workspace, vm: VmSpec, source: ImportedSource, project: Project) -> None:
    from ovtasks.graph.receipt import sha256_of
    from ovtasks.host.files import discard, link_or_copy
    from ovtasks.images.inspection import inspect
    from ovtasks.values.jsonvalue import state_text

    path, target = source.disk_path, workspace.step.targets[0]
    if not path.is_file():
        hint = "correct source.disk_path, or import the domain again"
        raise InputError(f"the adopted disk {path} is missing", hint=hint, where=vm.where)
    with explaining(f"cannot read {path}", path):
        real, before = Path(os.path.realpath(path)), _state(path)
        digest = sha256_of(real)
        found = inspect(real, str(path))
        if found.format != source.disk_format:
            hint = f"disk_format: {found.format}"
            raise InputError(f"{path} is {found.format}, not {source.disk_format}", hint=hint, where=vm.where)
        link = project.output / IMAGES / f"{digest}.{found.format}"
        if not (link.is_file() and link.samefile(real)):
            link.parent.mkdir(parents=True, exist_ok=True)
            discard(link)
            link_or_copy(real, link)
    if _state(path) != before:
        raise OvError(f"{path} changed while it was read", hint=f"shut {source.libvirt_name} down; then again")
    workspace.write(target, state_text({"sha256": digest, "format": found.format, "virtual_size": found.virtual_size}))
    workspace.commit(target, digest=f"sha256:{digest}")
    workspace.also(link, digest=f"sha256:{digest}")
    base_facts(workspace, digest, found.format, found.virtual_size, link.relative_to(project.root))

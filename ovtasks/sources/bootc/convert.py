"""The step ``convert``: makes a qcow2 of the installed raw disk, and removes the raw disk."""

from __future__ import annotations

from ovtasks.errors import OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.state import try_load_state
from ovtasks.project.model import Project, VmSpec
from ovtasks.sources.bootc.install import same_disk, scratch_of, stamp_file
from ovtasks.sources.disk import convert

RECIPE = 1


def convert_name(vm: VmSpec) -> str:
    """The name of the step that makes the qcow2."""
    return f"convert:{vm.name}"


def convert_step(vm: VmSpec, project: Project, options: BuildOptions, install: str) -> Step:
    """The step that makes the qcow2 from the raw disk that the step ``install`` left.

    That disk is gone after the first conversion. If ``compress`` changes later, the existing qcow2 is converted.
    """
    scratch = scratch_of(vm, project, options.type)
    target = project.artifacts(vm.name, options.type) / f"disk.{options.type}"

    def run(ws: Workspace) -> None:
        stamp = try_load_state(stamp_file(vm, project)) or {}
        raw = same_disk(stamp, scratch.disk)
        if not raw and not target.exists():
            raise OvError(f"the raw disk of {vm.name} is gone", hint="run it again: it is installed anew")
        given, format = (scratch.disk, "raw") if raw else (target, "qcow2")
        convert(given, format, ws.part(target), "qcow2", ws.progress, compress=vm.compress)
        ws.commit(target)
        scratch.forget()
        for key, value in ws.needs[install].facts.items():
            ws.fact(key, value)

    return Step(
        name=convert_name(vm),
        inputs={"recipe": RECIPE, "compress": vm.compress},
        targets=(target,),
        run=run,
        title=f"qcow2 disk of {vm.name}",
        needs=(install,),
        makes="disk",
    )

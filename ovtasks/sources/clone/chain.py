"""The chain of a clone: copy the disk of a snapshot, make an overlay on the copy, add the seed.

The copy stands alone: it has what the snapshot and all files below it show. So nothing that becomes of the other VM
and its snapshots concerns a clone that is built.
"""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import instance_directory
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import domain_of
from ovtasks.instance.snapshot_list import FILE, DiskSnapshot, snapshots_of
from ovtasks.project.model import CloneSource, Project, VmSpec
from ovtasks.sources.disk import base_facts, convert, disk_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.values.jsonvalue import Json

RECIPE = 1
FORMAT = "qcow2"


def clone_steps(vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
    """``copy → disk``, and the seed, by which the guest gets an identity of its own."""
    copy = copy_step(vm, project)
    disk = disk_step(vm, project, options, base=copy.name)
    key = key_step(vm)
    return [copy, disk, *([key] if key else []), seed_step(vm, project, options.type, disk.name)]


def copy_step(vm: VmSpec, project: Project) -> Step:
    """The step that copies the snapshot's disk to ``output/<vm>/clone.qcow2``.

    Another snapshot of the same name makes it run again. One that has been deleted since does not.
    """
    source = vm.source
    assert isinstance(source, CloneSource)
    name, _, instance = source.from_vm.partition("/")
    folder = Folder(instance_directory(domain_of(name, instance or None)))
    target = project.output / vm.name / f"clone.{FORMAT}"
    inputs: dict[str, Json] = {"recipe": RECIPE, "from_vm": source.from_vm, "from_snapshot": source.from_snapshot}
    step = Step(
        name=f"copy:{vm.name}",
        inputs=inputs,
        targets=(target,),
        run=lambda workspace: _copy(workspace, vm, source, folder, project),
        title=f"copy snapshot {source.from_snapshot} of {source.from_vm}",
        reads=(folder.path / FILE,),
        makes="copy of the snapshot",
        labels={"snapshot": f"snapshot {source.from_snapshot} of {source.from_vm}"},
    )
    inputs["snapshot"] = _current(folder, source) or _copied(step)
    return step


def _current(folder: Folder, source: CloneSource) -> str | None:
    """What tells this snapshot from every other one; None: there is none, or the step has to say what is wrong."""
    try:
        found = _named(snapshots_of(folder), source.from_snapshot)
    except OvError:
        return None
    return found.identity if found else None


def _copied(step: Step) -> Json:
    """The snapshot that was copied last, if the step would copy from the same place today."""
    from ovtasks.graph.receipt import Receipt

    receipt = Receipt.load(step.receipt)
    if receipt is None or any(receipt.inputs.get(key) != value for key, value in step.inputs.items()):
        return None
    return receipt.inputs.get("snapshot")


def origin_words(from_vm: str) -> str:
    """``web/dev`` as a command line says it: ``web -i dev``."""
    return " -i ".join(from_vm.split("/"))


def _named(snapshots: Sequence[DiskSnapshot], name: str) -> DiskSnapshot | None:
    return next((one for one in snapshots if one.name == name), None)


def _copy(workspace: Workspace, vm: VmSpec, source: CloneSource, folder: Folder, project: Project) -> None:
    from ovtasks.graph.receipt import sha256_of
    from ovtasks.images.inspection import inspect

    target = workspace.step.targets[0]
    part = workspace.part(target)
    with (
        explaining(f"cannot copy {source.from_snapshot} of {source.from_vm}", folder.path),
        folder.lock(waiting=lambda who: workspace.progress.note(f"waiting for {who}")),  # nobody merges its files now
    ):
        snapshot = _wanted(vm, source, folder)
        if snapshot.identity != workspace.step.inputs["snapshot"]:
            raise OvError(f"{source.from_vm} has another snapshot {snapshot.name} by now", hint="build again")
        convert(folder.path / snapshot.file, FORMAT, part, FORMAT, workspace.progress)
    digest = sha256_of(part)
    size = inspect(part, str(target)).virtual_size
    workspace.commit(target, digest=f"sha256:{digest}")
    base_facts(workspace, digest, FORMAT, size, target.relative_to(project.root))


def _wanted(vm: VmSpec, source: CloneSource, folder: Folder) -> DiskSnapshot:
    """The snapshot to copy.

    :raises InputError: there is none of that name. :raises OvError: the list of snapshots is damaged.
    """
    there = snapshots_of(folder)
    found = _named(there, source.from_snapshot)
    if found is not None:
        return found
    origin = origin_words(source.from_vm)
    create = f"ov vm snapshot create {origin} {source.from_snapshot}"
    if not folder.disk.exists() and not there:
        hint = f"ov vm create {origin}; then {create}"
        raise InputError(f"{source.from_vm}, which {vm.name} is a clone of, is not created", hint=hint, where=vm.where)
    hint = f"{create}, or one of: {', '.join(one.name for one in there)}" if there else create
    raise InputError(f"{source.from_vm} has no snapshot {source.from_snapshot}", hint=hint, where=vm.where)

"""Makes a VM's disk from a base image: an overlay of the wanted size, or a raw disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.command_error import CommandError
from ovtasks.host.files import discard, is_file, link_or_copy
from ovtasks.host.progress import Progress
from ovtasks.project.model import Project, VmSpec
from ovtasks.values.jsonvalue import Json, need
from ovtasks.values.sizes import format_size

RECIPE = 1
IMAGES = ".images"
"""The folder below ``output/`` with this project's hard links to its base images."""


def disk_name(vm: VmSpec, type: str) -> str:
    """The name of the step that makes ``vm``'s disk."""
    return f"disk:{vm.name}" if type == "qcow2" else f"disk:{vm.name}:{type}"


def disk_step(vm: VmSpec, project: Project, options: BuildOptions, *, base: str) -> Step:
    """The step that makes the disk of ``vm`` from the base image of the step ``base``.

    The receipt of ``base`` has the facts ``sha256``, ``format``, ``virtual_size`` (bytes) and ``path`` (of the content,
    relative to the project). The overlay's backing file is a hard link to the content inside ``output/<vm>/``, by a
    relative path. So the folder can be moved, and emptying the cache breaks nothing.
    """
    size = options.size or vm.disk_size
    folder = project.artifacts(vm.name, options.type)

    def work(workspace: Workspace) -> None:
        source, format, sha256, virtual_size = _base_of(workspace.needs[base].facts, base, project)
        if size is not None and size < virtual_size:
            raise InputError(
                f"disk_size {format_size(size)} is smaller than the base image, which is {format_size(virtual_size)}",
                hint=f"set disk_size to {format_size(virtual_size)} or more; a disk cannot be shrunk",
                where=vm.where,
            )
        if options.type == "raw":
            _raw(workspace, source, format, size)
        elif vm.compress:
            _alone(workspace, source, format, size, vm.compress)
        else:
            _overlay(workspace, source, format, sha256, size or virtual_size)

    inputs: dict[str, Json] = {"recipe": RECIPE, "type": options.type, "disk_size": size}
    if vm.compress and options.type != "raw":
        inputs["compress"] = vm.compress
    return Step(
        name=disk_name(vm, options.type),
        inputs=inputs,
        targets=(folder / f"disk.{options.type}",),
        run=work,
        title=f"{options.type} disk of {vm.name}",
        needs=(base,),
        makes="disk",
        labels={base.partition(":")[0]: "base image"},
        tidy=None if options.type == "raw" else partial(_remove_bases, folder.parent),
    )


def _base_of(facts: Mapping[str, Json], step: str, project: Project) -> tuple[Path, str, str, int]:
    """Content, format, sha256 and virtual size (bytes) of the base image.

    :raises OvError: the receipt lacks a fact, or names a file outside this project.
    """
    try:
        path, format, sha256 = (need(facts[key], str) for key in ("path", "format", "sha256"))
        virtual_size = need(facts["virtual_size"], int)
        if ".." in Path(path).parts or project.output not in (project.root / path).parents:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise OvError(f"the receipt of {step} is damaged", hint=f"doit forget {step}; then again") from None
    return project.root / path, format, sha256, virtual_size


def _remove_bases(folder: Path) -> None:
    """Remove the overlays' backing files, even those that no receipt names any more (``doit forget``)."""
    for path in folder.glob("base-*"):
        if path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)


def base_facts(workspace: Workspace, sha256: str, format: str, virtual_size: int, path: Path) -> None:
    """Note the facts about a base image that :func:`disk_step` needs. ``path`` is relative to the project."""
    workspace.fact("sha256", sha256)
    workspace.fact("format", format)
    workspace.fact("virtual_size", virtual_size)
    workspace.fact("path", str(path))


def _overlay(workspace: Workspace, source: Path, format: str, sha256: str, size: int) -> None:
    from ovtasks.host.run import run

    target = workspace.step.targets[0]
    backing = target.parent.parent / f"base-{sha256[:12]}.{format}"
    if not (is_file(backing) and backing.samefile(source)):
        discard(backing)
        link_or_copy(source, backing)
    part = workspace.part(target)
    options = ["-q", "-f", "qcow2", "-F", format, "-b", f"../{backing.name}"]
    run(["qemu-img", "create", *options, part.name, str(size)], cwd=part.parent)
    workspace.commit(target)
    workspace.also(backing, digest=f"sha256:{sha256}")


def _alone(workspace: Workspace, source: Path, format: str, size: int | None, compress: str) -> None:
    """Make a compressed qcow2 without a backing file."""
    from ovtasks.host.run import run

    target = workspace.step.targets[0]
    part = workspace.part(target)
    convert(source, format, part, "qcow2", workspace.progress, compress)
    if size is not None:
        run(["qemu-img", "resize", "-q", "-f", "qcow2", part, str(size)])
    workspace.commit(target)


def _raw(workspace: Workspace, source: Path, format: str, size: int | None) -> None:
    target = workspace.step.targets[0]
    part = workspace.part(target)
    convert(source, format, part, "raw", workspace.progress)
    if size is not None:
        with part.open("r+b") as file:
            file.truncate(size)  # checked before: it only grows, by a hole
    workspace.commit(target)


def convert(source: Path, format: str, target: Path, to: str, progress: Progress, compress: str | None = None) -> None:
    """Convert a disk to another format and keep its holes. ``compress`` (``zstd``, ``zlib``) is for a qcow2.

    The same disk gives the same bytes. Out-of-order writes (``-W``) would place the clusters of a qcow2 differently in
    each run, so they are used for raw files only.

    :raises OvError: the disk became full. :raises CommandError: qemu-img failed for another reason.
    """
    from ovtasks.host.run import run

    def percent(line: str) -> None:  # "    (12.34/100%)"
        if line.endswith("/100%)"):
            progress.update(int(float(line.strip("( ").partition("/")[0])), 100, "%")

    packed = ["-c", "-o", f"compression_type={compress}"] if compress else []
    order = ["-W"] if to == "raw" else []
    try:
        run(["qemu-img", "convert", "-p", *order, *packed, "-f", format, "-O", to, source, target], on_line=percent)
    except CommandError as e:
        if "No space left on device" in e.stderr:
            raise OvError(
                f"the disk filled up while {target.parent} got its {to} disk", hint="ov gc; then again"
            ) from e
        raise

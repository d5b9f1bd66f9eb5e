"""Finds what no declared VM needs in ``output/``: links to old images, leftovers of killed runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.graph.chains import IMAGE, Graph
from ovtasks.graph.options import TYPES
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import Step
from ovtasks.host.beneath import check
from ovtasks.host.files import is_locked, is_part
from ovtasks.images.gc import Item

BUILDING = "a build that is running in this project"


def survey(graph: Graph) -> list[Item]:
    """Every file that may be removed, and artifacts of VMs that are not declared any more (those are held, with a
    hint).
    """
    project = graph.project
    if not project.output.is_dir():
        return []
    busy = (BUILDING,) if is_building(graph) else ()
    items = [
        Item(path, _allocated(path), "rest of a killed run", busy)
        for path in sorted(project.output.rglob(".*"))
        if path.is_file() and (is_part(path.name) or path.name.endswith((".running", ".link")))
    ]
    seen = {item.path for item in items}
    unwanted, broken = _unwanted(graph, [path for path in _files(project.output / ".images") if path not in seen])
    held = busy or tuple(f"{vm}, whose chain cannot be made" for vm in broken)
    items += [Item(path, _allocated(path), "base image that no disk is built on", held) for path in unwanted]
    return [*items, *_undeclared(graph)]


def is_building(graph: Graph) -> bool:
    """Whether a process runs a step of this project."""
    return any(is_locked(path) for path in _files(graph.locks))


def _allocated(path: Path) -> int:
    """Bytes on disk that removing the file frees: 0 if it has other names, or if a running build has removed it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    return status.st_blocks * 512 if status.st_nlink == 1 or path.is_dir() else 0


def _files(folder: Path) -> list[Path]:
    check(folder)  # what is removed must be ours
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _unwanted(graph: Graph, files: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Those of ``files`` that no step of a declared VM keeps, and the VMs whose steps are unknown.

    The usual disk format comes first, for all VMs: mostly nothing is left then, and nobody asks for the other one.
    """
    left = dict.fromkeys(files)
    broken: list[str] = []
    read: set[str] = set()
    for types in (TYPES[:1], TYPES):
        broken.clear()
        for vm in (*graph.project.vms, *(f"{IMAGE}{name}" for name in graph.project.images)):
            if not left:
                return [], []
            try:
                steps = [step for type in types for step in graph.chain(vm, type)]
            except OvError:
                broken.append(vm)
                continue
            for path in _kept(steps, read):
                left.pop(path, None)
    return [*left], broken


def _kept(steps: Sequence[Step], read: set[str]) -> Iterator[Path]:
    """The files that a VM's steps keep. ``read`` are the names of steps whose receipts were read for another VM."""
    built = any(target.exists() for step in steps if not step.shared for target in step.targets)
    for step in steps:
        yield from (step.receipt, step.marker, *step.targets)
        # after a clean, nobody needs the base image that lies ready for the next build
        if (built or not step.shared) and step.name not in read:
            read.add(step.name)
            yield from _outputs(step)


def _outputs(step: Step) -> Iterator[Path]:
    for path in (step.receipt, step.marker):  # the marker is left by a killed run
        if os.path.lexists(path) and (receipt := Receipt.load(path)) is not None:  # most of many VMs have neither
            yield from (output.path for output in receipt.outputs)


def _undeclared(graph: Graph) -> Iterator[Item]:
    """Artifacts of VMs that are not declared any more. The user removes them, since a running VM may have them open."""
    for folder in sorted(graph.project.output.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in graph.project.vms:
            size = sum(_allocated(path) for path in folder.rglob("*"))
            yield Item(folder, size, "artifacts of a VM that is not declared", (f"you: rm -r {folder}",))


def remove(items: list[Item]) -> list[Item]:
    """Remove what is removable; returns what was removed."""
    gone = [item for item in items if item.removable]
    for item in gone:
        item.path.unlink(missing_ok=True)
    return gone

"""Writes a manifest for the fast path, when every step of a goal is fresh."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.graph import plugins
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.manifest import FOLDER, ManifestEntry, dump, entry_of, file_name
from ovtasks.graph.receipt import Output
from ovtasks.host.files import write_atomic
from ovtasks.host.paths import settings_file

RACY_NS = 20_000_000
"""Nanoseconds: a file that changed so shortly before it was read could change again without a trace (git has the same
problem), because the kernel's clock for files ticks every 10 ms or faster."""
COARSE_NS = 2_000_000_000
"""The same for file systems that keep whole seconds."""
ATTEMPTS = 3


def save_manifest(
    graph: Graph,
    chains: Sequence[Chain],
    command: tuple[str, list[str]],
    lines: list[str],
    loaded_ns: int,
    more: Iterable[Path] = (),
) -> bool:
    """Write the manifest of a command line if all steps of ``chains`` are fresh; return whether it was written.

    ``command`` is the kind of command and its words; ``lines`` is what it prints. ``loaded_ns`` is the time before the
    project's files were read (nanoseconds since the epoch): files that changed later are not trusted. ``more`` are
    files that the answer depends on beside those of the project, the steps and the program.
    """
    name = file_name(*command)
    steps = graph.closure(step for chain in chains for step in chain)
    if name is None or any(step.refresh for step in steps):
        return False
    sources = {
        *graph.project.files,
        settings_file(),
        graph.project.lock_file,
        *(path for step in steps for path in step.reads),
        *more,
    }
    entries = [entry_of(str(path)) for path in sorted({*sources, *_program(graph, chains)})]
    if any(_young(entry, loaded_ns) for entry in entries):
        return False
    entries += (folders := _settled(step.receipt.parent for step in steps))
    outputs: list[Output] = []
    for step in steps:  # after the look at the folders, so that a later change shows in a folder's time
        now = graph.freshness(step, heal=True)
        if not now.fresh or now.receipt is None:
            return False
        outputs += now.receipt.outputs
    # Of several hard links to a file one is enough (they change together); the others' folders tell if one is removed.
    chosen = {output.inode: output for output in outputs}
    others = {output.path.parent for output in outputs if chosen[output.inode] is not output}
    entries += (more_folders := _settled(others))
    entries += (files := _settled(output.path for output in chosen.values()))
    if not folders or bool(others) > bool(more_folders) or not files:
        return False
    if any((o.size, o.mtime_ns, o.inode) != entry[1:4] for o, entry in zip(chosen.values(), files, strict=True)):
        return False
    if not all(output.same_stat(output.path.stat()) for output in outputs):
        return False
    return _write(graph, name, entries, lines)


def save_watched(
    graph: Graph, command: tuple[str, list[str]], lines: list[str], loaded_ns: int, more: Iterable[Path]
) -> bool:
    """Like :func:`save_manifest`, for goals that are no steps. ``more`` are all files that tell that they are fresh."""
    name = file_name(*command)
    paths = {*graph.project.files, settings_file(), graph.project.lock_file, *more, *_program(graph, ())}
    entries = [entry_of(str(path)) for path in sorted(paths)]
    if name is None or any(_young(entry, loaded_ns) for entry in entries):
        return False
    return _write(graph, name, entries, lines)


def _write(graph: Graph, name: str, entries: Iterable[ManifestEntry], lines: list[str]) -> bool:
    root = graph.project.root
    variables = (*graph.project.variables, *plugins.variables())
    content = dump(str(root), _once(entries, root), lines, variables, tuple(_warnings(graph)))
    try:
        write_atomic(root / FOLDER / name, content, mode=0o600)
    except (OSError, OvError):
        return False  # a read-only project works, too, only slower
    return True


def _warnings(graph: Graph) -> list[str]:
    """The warnings that the goal prints each time, also when nothing is to do."""
    if not graph.project.wrong:
        return []
    from ovtasks.project.mistakes import warnings

    return warnings(graph.project)


def relative(path: Path | str, root: Path) -> str:
    """``path`` relative to the project's root if it lies below, else unchanged."""
    return str(path).removeprefix(f"{root}{os.sep}")


def _settled(paths: Iterable[Path]) -> list[ManifestEntry]:
    """Look at files and folders when none of them is young; empty if there is no such moment soon.

    A folder's time tells whether a file in it was added, removed or replaced. That takes half as many calls as looking
    at each receipt and each link.
    """
    names = list(dict.fromkeys(str(path) for path in paths))
    for _ in range(ATTEMPTS):
        now = time.time_ns()
        found = [entry_of(name) for name in names]
        if not any(_young(entry, now) for entry in found):
            return found
        time.sleep(RACY_NS / 1e9)
    return []


def _young(entry: ManifestEntry, now_ns: int) -> bool:
    """Whether a file may change again without a trace, or has a time in the future, so that clocks cannot tell."""
    _, size, mtime_ns, _, ctime_ns = entry
    coarse = size != -1 and mtime_ns % 1_000_000_000 == 0 and ctime_ns % 1_000_000_000 == 0
    return ctime_ns > now_ns - (COARSE_NS if coarse else RACY_NS)


def _program(graph: Graph, chains: Sequence[Chain]) -> list[Path]:
    """The files of this package and of plugins, because another version of a step may make something else."""
    kinds = {graph.project.vms[chain.vm].source.kind for chain in chains if chain.vm in graph.project.vms}
    packages = {type(plugins.source(kind)).__module__.partition(".")[0] for kind in kinds} - {"ovtasks"}
    loaded = [
        Path(file)
        for name, module in tuple(sys.modules.items())
        if name.partition(".")[0] in packages and (file := getattr(module, "__file__", None))
    ]
    package = Path(__file__).parent.parent
    return [*package.rglob("*.py"), *package.rglob("*.json"), *loaded]


def _once(entries: Iterable[ManifestEntry], root: Path) -> list[ManifestEntry]:
    """The first entry of each path, with its short name."""
    first = {entry[0]: entry for entry in reversed(list(entries))}
    return [(relative(path, root), *stat) for path, *stat in first.values()]  # type: ignore[misc]

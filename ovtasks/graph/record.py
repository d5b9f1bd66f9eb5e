"""Leave a manifest for the fast path, when every step of a goal is fresh."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.manifest import FOLDER, Entry, dump, file_name, look
from ovtasks.graph.receipt import Output
from ovtasks.host.files import write_atomic

RACY_NS = 10_000_000
"""A file changed within so many nanoseconds of being read could change again without a trace (as git knows)."""


def record(graph: Graph, chains: Sequence[Chain], words: list[str], text: str, loaded_ns: int) -> bool:
    """Write the manifest of ``ov vm build WORDS`` if all steps of ``chains`` are fresh; return whether it was written.

    ``loaded_ns`` is the time (nanoseconds since the epoch) before the project's files were read: what changed after
    it is not trusted. ``text`` is what the command prints.
    """
    name = file_name(words)
    steps = graph.closure(step for chain in chains for step in chain)
    if name is None or any(step.refresh for step in steps):
        return False
    sources = {*graph.project.files, graph.project.lock_file, *(path for step in steps for path in step.reads)}
    entries = [look(str(path)) for path in sorted(sources)]
    if any(_young(Path(entry[0]), loaded_ns) for entry in entries):
        return False
    entries += [look(str(path)) for path in _own_modules()]
    entries += _folders(step.receipt.parent for step in steps)
    outputs: list[Output] = []
    for step in steps:  # after the folders were looked at: what changes from here on changes a folder's time
        now = graph.freshness(step, heal=True)
        if not now.fresh or now.receipt is None:
            return False
        outputs += now.receipt.outputs
    # of several hard links of a file one is looked at (they change together), the others' folders tell if one goes
    chosen = {output.inode: output for output in outputs}
    files = [(str(o.path), o.size, o.mtime_ns, o.inode) for o in chosen.values()]
    entries += _folders(o.path.parent for o in outputs if chosen[o.inode] is not o)
    if not all(output.same_stat(output.path.stat()) for output in outputs):
        return False
    content = dump(_once([*entries, *files], graph.project.root), text, graph.project.variables)
    write_atomic(graph.project.root / FOLDER / name, content, mode=0o600)  # the mode is what makes it ours
    return True


def _folders(folders: Iterable[Path]) -> list[Entry]:
    """Folders of receipts and outputs: their time tells whether a file came, went or was replaced.

    That is half as many calls as looking at each receipt and each link. Waits until their times are not young.
    """
    names = sorted({str(folder) for folder in folders})
    found = [look(name) for name in names]
    age = time.time_ns() - max((mtime_ns for _, _, mtime_ns, _ in found), default=0)
    if 0 <= age < RACY_NS:
        time.sleep((RACY_NS - age) / 1e9)
        found = [look(name) for name in names]
    return found


def _young(path: Path, loaded_ns: int) -> bool:
    try:
        return path.stat().st_ctime_ns > loaded_ns - RACY_NS
    except OSError:
        return False


def _own_modules() -> list[Path]:
    """This package's files: another version of a step may make something else."""
    return sorted(Path(__file__).parent.parent.rglob("*.py"))


def _once(entries: Iterable[Entry], root: Path) -> list[Entry]:
    """The first look at each path; short, because the fast path runs in the project's root."""
    prefix = f"{root}{os.sep}"
    first = {entry[0]: entry for entry in reversed(list(entries))}
    return [(path.removeprefix(prefix), size, mtime, inode) for path, size, mtime, inode in first.values()]

"""Leave a manifest for the fast path, when every step of a goal is fresh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.manifest import FOLDER, Entry, dump, file_name, look
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
    receipts = [look(str(step.receipt)) for step in steps]  # before they are read below
    for step in steps:
        now = graph.freshness(step, heal=True)
        if not now.fresh or now.receipt is None:
            return False
        entries += [(str(o.path), o.size, o.mtime_ns, o.inode) for o in now.receipt.outputs]
    write_atomic(graph.project.root / FOLDER / name, dump(_once(receipts + entries), text))
    return True


def _young(path: Path, loaded_ns: int) -> bool:
    try:
        return path.stat().st_ctime_ns > loaded_ns - RACY_NS
    except OSError:
        return False


def _own_modules() -> list[Path]:
    """This package's files: another version of a step may make something else."""
    return sorted(Path(__file__).parent.parent.rglob("*.py"))


def _once(entries: Iterable[Entry]) -> list[Entry]:
    return list({entry[0]: entry for entry in entries}.values())

"""``ov gc``: remove base images and rests that nobody holds; say what holds the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from ovtasks.cli.common import open_project
from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, InputError
from ovtasks.graph import leftovers
from ovtasks.graph.chains import Graph
from ovtasks.graph.manifest import FOLDER, look, noted
from ovtasks.host.paths import image_store
from ovtasks.images import gc
from ovtasks.images.gc import Item
from ovtasks.images.lockfile import read_lock
from ovtasks.images.store import Store
from ovtasks.sources.bootc import rests as bootc_rests
from ovtasks.spec.load import find_root
from ovtasks.spec.model import CloudImageSource, Project


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``ov gc``."""
    parser = subparsers.add_parser(
        "gc",
        help="remove base images that nobody uses",
        description="Remove base images without any other hard link, and what killed runs left in this project. "
        "Says of every other file what holds it.",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="remove nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Survey, remove, report. A project's own links go first: they may be all that held an image."""
    from ovtasks.images import gc

    project = _project(args)
    kept: list[Item] = []
    gone: list[Item] = []
    if project is not None:
        kept, gone = _tidy_project(project, dry_run=args.dry_run)
    pinned = {pin.sha256 for pin in read_lock(project.lock_file).values()} if project is not None else set()
    for store in _stores(project):
        items = gc.survey(store, pinned)
        gone += [item for item in items if item.removable] if args.dry_run else gc.remove(store, items)
        kept += [item for item in items if not item.removable]
    if args.json:
        data = {"removed": [as_json(i) for i in gone], "kept": [as_json(i) for i in kept], "dry_run": args.dry_run}
        output_json(data)
    else:
        sys.stdout.write(as_text(kept, gone, dry_run=args.dry_run))
    return EXIT_DONE


def _tidy_project(project: Project, *, dry_run: bool) -> tuple[list[Item], list[Item]]:
    """What was kept and what went. No step can start while something is removed."""
    graph = Graph(project)
    items = leftovers.survey(graph)
    rests = bootc_rests.survey(project, (leftovers.BUILDING,) if leftovers.is_building(graph) else ())
    chosen = [item for item in items if item.removable]
    kept = [item for item in (*items, *rests.items) if not item.removable]
    if dry_run:
        return kept, [*chosen, *(item for item in rests.items if item.removable), *_stale_manifests(project)]
    with gc.try_locks(gc.files_in(graph.locks)) as free:
        if not free:
            return [*kept, *(replace(item, held_by=(leftovers.BUILDING,)) for item in chosen)], []
        gone = [*rests.remove(), *leftovers.remove(chosen)]
        return kept, [*gone, *leftovers.remove(list(_stale_manifests(project)))]


def _stale_manifests(project: Project) -> Iterator[Item]:
    """Answers of the fast path that hold no more: a file they depend on is another one now."""
    for path in gc.files_in(project.root / FOLDER):
        try:
            entries = noted(str(path))
            size = path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
        fresh = entries is not None and all(
            look(str(project.root / name))[1:] == tuple(stat) for name, *stat in entries
        )
        if not fresh:
            yield Item(path, size, "outdated note that there is nothing to do")


def _project(args: argparse.Namespace) -> Project | None:
    """The project around, if there is one; wrong files in it are an error, because they decide what is in use."""
    try:
        find_root(args.directory.absolute())
    except InputError:
        return None
    return open_project(args)


def _stores(project: Project | None) -> list[Store]:
    """The user's store, and those that ``source.cache`` names."""
    from ovtasks.images.store import Store

    roots = {image_store()}
    for vm in project.vms.values() if project else ():
        if isinstance(vm.source, CloudImageSource) and vm.source.cache:
            roots.add(vm.source.cache)
    return [Store(root) for root in sorted(roots)]


def as_json(item: Item) -> dict[str, object]:
    """One file as JSON data."""
    return {"path": str(item.path), "size": item.size, "what": item.what, "held_by": list(item.held_by)}


def as_text(kept: list[Item], gone: list[Item], *, dry_run: bool) -> str:
    """The report for people."""
    lines = [f"kept     {_mebibytes(item.size)}  {item.what}  {item.path}\n" for item in kept]
    lines = [
        line + "".join(f"{'':20}held by {who}\n" for who in item.held_by)
        for line, item in zip(lines, kept, strict=True)
    ]
    verb = "would go" if dry_run else "removed "
    lines += [f"{verb} {_mebibytes(item.size)}  {item.what}  {item.path}\n" for item in gone]
    freed = _mebibytes(sum(item.size for item in gone)).strip()
    lines.append(f"{len(gone)} file{'s' if len(gone) != 1 else ''}, {freed} {'would be ' if dry_run else ''}freed\n")
    return "".join(lines)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):7.1f} MiB"

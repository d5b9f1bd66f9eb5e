"""``ov gc``: removes base images and leftovers that nobody needs, and says who needs the others."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from ovtasks.cli.common import note, project_around
from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, InputError
from ovtasks.graph import leftovers
from ovtasks.graph.chains import Graph
from ovtasks.graph.manifest import FOLDER, entry_of, noted
from ovtasks.host.paths import image_store
from ovtasks.host.patience import waiting_for
from ovtasks.images import gc
from ovtasks.images.gc import Item
from ovtasks.images.lockfile import read_lock
from ovtasks.images.store import Store
from ovtasks.project.model import CloudImageSource, Project
from ovtasks.sources.bootc import leftovers as bootc_leftovers


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov gc``."""
    parser.description = (
        "Remove unused base images, what killed runs left in this project and in VMs, and expired "
        "ephemeral VMs. For every other file, print who needs it. With --older-than and --max-size, "
        "remove only as much as they ask for, the oldest first. Images that a VM or a built disk needs "
        "always stay."
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="remove nothing, show what would be removed")
    parser.add_argument(
        "--older-than", type=_duration, metavar="TIME", help="only images unused for this time (30d, 12h, 2w)"
    )
    parser.add_argument(
        "--max-size", type=_size, metavar="SIZE", help="images, until the store is at most this large (50G)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _duration(text: str) -> int:
    from ovtasks.values.durations import parse_duration

    return _told(parse_duration, text)


def _size(text: str) -> int:
    from ovtasks.values.sizes import parse_size

    if text.strip().isdecimal() and text.strip("0 "):
        raise argparse.ArgumentTypeError(f"{text!r} has no unit; write a size as 50G, 500M or 1.5T")
    return _told(lambda word: parse_size(word, bare=1), text)


def _told(parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except InputError as e:
        raise argparse.ArgumentTypeError(f"{e.message}; {e.hint}") from None


def run(args: argparse.Namespace) -> int:
    """Survey, remove, report."""
    project = project_around(args)
    limits = gc.RetentionLimits(args.older_than, args.max_size)
    with waiting_for("a look through what is stored"):
        kept, gone = tidy(Graph(project) if project is not None else None, limits, dry_run=args.dry_run)
    held = sum(item.size for item in kept if item.used is not None)
    if args.max_size is not None and held > args.max_size:
        note(args).note(f"needed images take {_mebibytes(held).strip()}: more than --max-size")
    if args.json:
        data = {"removed": [as_json(i) for i in gone], "kept": [as_json(i) for i in kept], "dry_run": args.dry_run}
        output_json(data)
    else:
        sys.stdout.write(as_text(kept, gone, dry_run=args.dry_run))
    return EXIT_DONE


def tidy(graph: Graph | None, limits: gc.RetentionLimits, *, dry_run: bool) -> tuple[list[Item], list[Item]]:
    """Remove what nobody needs, or with ``dry_run`` only look; returns what was kept and what was removed.

    Leftovers of VMs and the project come first: only their links may hold an image.
    """
    kept, gone = _tidy_instances(dry_run=dry_run)
    if graph is not None:
        some_kept, some_gone = _tidy_project(graph, dry_run=dry_run)
        kept, gone = kept + some_kept, gone + some_gone
    going = [path for item in gone for path in _below(item.path)]
    some_kept, some_gone = _tidy_stores(graph.project if graph else None, limits, going, dry_run=dry_run)
    return kept + some_kept, gone + some_gone


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def _tidy_instances(*, dry_run: bool) -> tuple[list[Item], list[Item]]:
    """Remove leftovers of VMs: files, and domains of libvirt. Returns what was kept and what was removed."""
    from ovtasks.backends.libvirt import leftovers as libvirt_leftovers
    from ovtasks.deploy import ephemeral
    from ovtasks.instance import leftovers as instance_leftovers
    from ovtasks.instance import throwaway

    ended = throwaway.survey() if dry_run else throwaway.sweep()
    files, over = instance_leftovers.survey(), ephemeral.survey()
    chosen = [item for item in files if item.removable]
    expired = [item for item in over if item.removable]
    gone = [*chosen, *expired] if dry_run else [*instance_leftovers.remove(chosen), *ephemeral.remove(expired)]
    domains = libvirt_leftovers.survey()  # after updates that were killed are put back, whose domains lost their folder
    kept = [item for item in (*files, *over, *domains) if not item.removable]
    lost = [item for item in domains if item.removable]
    return kept, [*ended, *gone, *(lost if dry_run else libvirt_leftovers.remove(lost))]


def _tidy_stores(
    project: Project | None, limits: gc.RetentionLimits, going: Collection[Path], *, dry_run: bool
) -> tuple[list[Item], list[Item]]:
    """Remove images; returns what was kept and what was removed. ``going`` was, or would be, removed elsewhere."""
    pinned = {pin.sha256 for pin in read_lock(project.lock_file).values()} if project is not None else set()
    found = [(store, item) for store in _stores(project) for item in gc.survey(store, pinned, going)]
    items = gc.limited([item for _, item in found], limits, time.time())
    gone: list[Item] = []
    for store in dict.fromkeys(store for store, _ in found):
        own = [item for (place, _), item in zip(found, items, strict=True) if place is store]
        gone += [item for item in own if item.removable] if dry_run else gc.remove(store, own)
    return [item for item in items if not item.removable], gone


def _tidy_project(graph: Graph, *, dry_run: bool) -> tuple[list[Item], list[Item]]:
    """Remove leftovers of the project while no step can start. Returns what was kept and what was removed."""
    project = graph.project
    items = leftovers.survey(graph)
    of_bootc = bootc_leftovers.survey(project, (leftovers.BUILDING,) if leftovers.is_building(graph) else ())
    chosen = [item for item in items if item.removable]
    kept = [item for item in (*items, *of_bootc.items) if not item.removable]
    if dry_run:
        return kept, [*chosen, *(item for item in of_bootc.items if item.removable), *_stale_manifests(project)]
    with gc.try_locks(gc.files_in(graph.locks)) as free:
        if not free:
            return [*kept, *(replace(item, held_by=(leftovers.BUILDING,)) for item in chosen)], []
        gone = [*of_bootc.remove(), *leftovers.remove(chosen)]
        return kept, [*gone, *leftovers.remove(list(_stale_manifests(project)))]


def _stale_manifests(project: Project) -> Iterator[Item]:
    """Manifests of the fast path that are out of date, because a file they depend on changed."""
    for path in gc.files_in(project.root / FOLDER):
        try:
            entries = noted(str(path))
            size = path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
        fresh = entries is not None and all(
            entry_of(str(project.root / name))[1:] == tuple(stat) for name, *stat in entries
        )
        if not fresh:
            yield Item(path, size, "outdated note that there is nothing to do")


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

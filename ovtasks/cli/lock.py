"""``ov lock``: pin what every image URL stands for in ``ovtasks.lock``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ovtasks.cli.common import open_project
from ovtasks.errors import EXIT_DONE, EXIT_STALE
from ovtasks.project.model import CloudImageSource, Project
from ovtasks.project.official import is_named

if TYPE_CHECKING:
    from ovtasks.graph.display import Display
    from ovtasks.images.request import Pin


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov lock``."""
    parser.description = (
        "Pin the image URLs that are not pinned yet, and fetch missing images. Remove pins that no VM uses any more."
    )
    parser.add_argument("vms", nargs="*", metavar="VM", help="only these VMs' images (default: all)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--update", action="store_true", help="pin what the URLs stand for now")
    mode.add_argument("--check", action="store_true", help="change nothing; end with 4 if the lock file would change")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Bring the lock file up to date and print what changed."""
    from ovtasks.images.lockfile import read_lock, write_lock

    project = open_project(args)
    pins = read_lock(project.lock_file)
    chosen = _chosen(args, project)
    if args.check:
        return _check(project, pins, chosen)
    new = _updated(args, project, pins, chosen)
    for line in differences(pins, new):
        print(line)
    if new != pins:
        write_lock(project.lock_file, new)
    elif not args.quiet:
        print(f"{project.lock_file.name}: nothing to change, {len(new)} pinned", file=sys.stderr)
    return EXIT_DONE


def _chosen(args: argparse.Namespace, project: Project) -> set[str]:
    """The lock file's names for the URLs of the named VMs, or of all VMs.

    :raises InputError: there is no such VM.
    """
    from ovtasks.project.load import unknown_vm

    for name in args.vms:
        if name not in project.vms:
            raise unknown_vm(name, project)
    return {name for vm, name, _ in _sources(project) if not args.vms or vm in args.vms}


def _check(project: Project, pins: Mapping[str, Pin], chosen: set[str]) -> int:
    from ovtasks.images.request import public

    dropped = pins.keys() - {name for _, name, _ in _sources(project)} - _elsewhere(project, pins)
    lines = [f"+ {public(url)}" for url in sorted(chosen - pins.keys())]
    lines += [f"- {public(url)}" for url in sorted(dropped)]
    print("\n".join(lines), end="\n" if lines else "")
    return EXIT_STALE if lines else EXIT_DONE


def _elsewhere(project: Project, pins: Mapping[str, Pin]) -> set[str]:
    """The pins of images that are named here and were pinned on machines of another architecture."""
    named = {f"{source.official} " for _, _, source in _sources(project) if is_named(source)}
    here = {name for _, name, _ in _sources(project)}
    return {name for name in pins.keys() - here if name.startswith(tuple(named))} if named else set()


def _sources(project: Project) -> list[tuple[str, str, CloudImageSource]]:
    """Each VM, the name of its URL in the lock file, and its source."""
    from ovtasks.images.request import locked_as

    found = [(vm.name, vm.source) for vm in project.vms.values() if isinstance(vm.source, CloudImageSource)]
    return [(vm, locked_as(source, project.root), source) for vm, source in found]


def _updated(args: argparse.Namespace, project: Project, pins: Mapping[str, Pin], chosen: set[str]) -> dict[str, Pin]:
    """The new pins. Fetches the images only as far as necessary."""
    from ovtasks.graph.display import Display

    display = Display(quiet=args.quiet)
    new: dict[str, Pin] = {name: pins[name] for name in _elsewhere(project, pins)}
    for _, name, source in _sources(project):
        old = pins.get(name)
        if name in new:
            continue
        if name in chosen and (args.update or old is None):
            new[name] = _pin(source, display, ask=args.update)
        elif old is not None:
            new[name] = old
    return new


def _pin(source: CloudImageSource, display: Display, *, ask: bool) -> Pin:
    """The pin for an image, from the last fetch or (``ask``) from the server now. Only verified bytes are pinned."""
    from ovtasks.graph.display import StepProgress
    from ovtasks.images.fetch import fetch, revalidate
    from ovtasks.images.request import Pin, public, request_of
    from ovtasks.images.verify import verify

    request = request_of(source)
    progress = StepProgress(display, f"lock {public(source.url).rpartition('/')[2]}", None)
    fetched = fetch(request, progress)
    if ask:
        fetched = revalidate(request, fetched, progress)
    verify(request, fetched, progress)
    return Pin(source.url if is_named(source) else fetched.final_url, fetched.sha256, fetched.size)


def differences(old: Mapping[str, Pin], new: Mapping[str, Pin]) -> list[str]:
    """One line per URL that was added (+), dropped (-) or changed (~); without the passwords in URLs."""
    from ovtasks.images.request import public

    lines = []
    for locked in sorted(old.keys() | new.keys()):
        before, after, url = old.get(locked), new.get(locked), public(locked)
        if before is None and after is not None:
            lines.append(f"+ {url}  sha256:{after.sha256[:12]}…")
        elif after is None:
            lines.append(f"- {url}")
        elif before is not None and before.sha256 != after.sha256:
            lines.append(f"~ {url}  sha256:{before.sha256[:12]}… → sha256:{after.sha256[:12]}…")
        elif before != after:
            lines.append(f"~ {url}  {after.final_url}")
    return lines

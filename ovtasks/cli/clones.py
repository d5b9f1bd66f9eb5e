"""``ov vm clone``."""

from __future__ import annotations

import argparse

from ovtasks.cli.common import find_record, note, open_project
from ovtasks.errors import EXIT_DONE, InputError


def clone_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm clone``."""
    parser.description = (
        "Add a VM to vms.yml that starts with a copy of another VM's disk at a snapshot. The clone gets "
        "a new identity: other MAC addresses, host keys, machine-id and host name. The other VM stays "
        "as it is."
    )
    parser.add_argument("vm", metavar="NEW", help="the clone's name")
    parser.add_argument(
        "--from",
        dest="origin",
        required=True,
        metavar="VM[/INSTANCE][@SNAP]",
        help="the disk to start with; without @SNAP, ov makes a snapshot now",
    )
    parser.add_argument("--cloud-init-clean", action="store_true", help="make cloud-init run as at a first boot")
    parser.add_argument("--build", action="store_true", help="then build it, as ov vm build does")
    parser.add_argument("--dry-run", action="store_true", help="print the entry, write nothing")
    parser.set_defaults(run=run_clone)


def run_clone(args: argparse.Namespace) -> int:
    """Declare a clone."""
    from ovtasks.sources.clone.declare import CloneWish, declare_clone, is_declared
    from ovtasks.sources.new_entry import declaring

    origin, _, snapshot = args.origin.partition("@")
    vm, _, instance = origin.partition("/")
    if not vm or args.origin.endswith(("@", "/")):
        raise InputError(f"--from {args.origin}: no VM is named", hint="VM, VM@SNAP or VM/INSTANCE@SNAP")
    say, wish = note(args), CloneWish(args.vm, origin, snapshot or None, args.cloud_init_clean)
    project = open_project(args)
    if args.dry_run:
        if not is_declared(wish, project):
            print(wish.entry, end="")
        return EXIT_DONE
    with declaring(project, say):
        project = open_project(args)
        if is_declared(wish, project):
            say.note(f"{wish.name} is a clone of {origin} at {wish.snapshot_name} already")
        else:
            record = find_record(argparse.Namespace(**{**vars(args), "vm": vm, "instance": instance or None}))
            declare_clone(wish, record, project, say)
            say.note(
                f"{wish.name}: declared, from {origin} at {wish.snapshot_name}; ov vm create {wish.name} starts it"
            )
    return _build(args) if args.build else EXIT_DONE


def _build(args: argparse.Namespace) -> int:
    from ovtasks.cli.vm import build_arguments, run_build

    parser = argparse.ArgumentParser()
    build_arguments(parser)
    return run_build(parser.parse_args([args.vm], argparse.Namespace(**vars(args))))

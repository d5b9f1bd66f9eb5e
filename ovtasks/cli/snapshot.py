"""``ov vm snapshot create | list | revert | delete``."""

from __future__ import annotations

import argparse

from ovtasks.cli.common import add_instance, find_record, note, output_json
from ovtasks.errors import EXIT_DONE


def create_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot create``."""
    parser.description = (
        "Make a snapshot of the VM's disk as it is now. A running VM goes on; what its guest has not yet written to "
        "the disk is not part of it."
    )
    _add(parser)
    parser.add_argument("--description", default="", metavar="TEXT", help="what it is for, shown by list")
    parser.set_defaults(run=run_create)


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot list``."""
    parser.description = "List the snapshots, the oldest first. A star marks the one that the disk stands on."
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def revert_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot revert``."""
    parser.description = (
        "Make the disk what it was at the snapshot. What was written since is lost, unless another snapshot has it. "
        "The VM must be off. Its definition, seed, NVRAM, ports and keys stay as they are."
    )
    _add(parser)
    parser.set_defaults(run=run_revert)


def delete_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot delete``."""
    parser.description = (
        "Delete a snapshot. The disk and other snapshots keep what they have. While the VM runs its file stays; the "
        "next revert or delete with the VM off merges it."
    )
    _add(parser)
    parser.set_defaults(run=run_delete)


def _add(parser: argparse.ArgumentParser) -> None:
    add_instance(parser)
    parser.add_argument("snapshot", metavar="SNAP", help="the snapshot's name")


def run_create(args: argparse.Namespace) -> int:
    """Make a snapshot."""
    from ovtasks.instance.snapshots import create_snapshot

    record = find_record(args)
    create_snapshot(record, args.snapshot, args.description)
    note(args).note(f"{record.words}: snapshot {args.snapshot} made")
    return EXIT_DONE


def run_list(args: argparse.Namespace) -> int:
    """Print the snapshots."""
    from ovtasks.instance.snapshot_list import snapshots_of, stands_on_snapshot

    folder = find_record(args).folder
    found, on = snapshots_of(folder), stands_on_snapshot(folder)
    if args.json:
        facts = ("name", "created", "description")
        output_json([{**{key: getattr(one, key) for key in facts}, "current": one.name == on} for one in found])
        return EXIT_DONE
    from ovtasks.cli.show import table

    rows = [("*" if one.name == on else "", one.name, one.created, one.description) for one in found]
    print(table(("", "NAME", "CREATED", "DESCRIPTION"), rows) if rows else "there are no snapshots")
    return EXIT_DONE


def run_revert(args: argparse.Namespace) -> int:
    """Go back to a snapshot."""
    from ovtasks.deploy.receipts import drop_all
    from ovtasks.deploy.stamp import drop_stamp
    from ovtasks.instance.aside import deploying
    from ovtasks.instance.snapshots import check_revert, revert_snapshot

    record = find_record(args)
    with deploying(record.domain, note(args)):
        check_revert(record, args.snapshot)
        drop_stamp(record)  # the disk may have other layers
        drop_all(record)
        revert_snapshot(record, args.snapshot)
    note(args).note(f"{record.words}: its disk is what it was at {args.snapshot}")
    return EXIT_DONE


def run_delete(args: argparse.Namespace) -> int:
    """Delete a snapshot."""
    from ovtasks.instance.snapshots import delete_snapshot

    record = find_record(args)
    merged = delete_snapshot(record, args.snapshot)
    later = "" if merged else "; its file is merged by the next delete or revert with the VM off"
    note(args).note(f"{record.words}: snapshot {args.snapshot} deleted{later}")
    return EXIT_DONE

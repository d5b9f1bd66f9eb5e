"""``ov vm snapshot create | list | info | revert | delete``; ``ov eval libvirt snapshot`` has the same verbs."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ovtasks.cli.common import add_instance, find_record, note, output_json
from ovtasks.errors import EXIT_DONE

if TYPE_CHECKING:
    from ovtasks.instance.snapshot_list import DiskSnapshot
    from ovtasks.values.jsonvalue import Json


def create_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot create``."""
    parser.description = (
        "Keep the current state of the VM's disk, with NVRAM and TPM. A running VM keeps running. Its "
        "guest agent freezes the file systems for a moment; without an agent, the snapshot lacks what "
        "the guest has not written to the disk yet."
    )
    _add(parser)
    parser.add_argument(
        "--quiesce",
        action=argparse.BooleanOptionalAction,
        help="fail without a guest agent in a running VM; --no-quiesce does not ask for one",
    )
    parser.add_argument(
        "--memory", action="store_true", help="also keep a running VM's memory; revert continues from there"
    )
    parser.add_argument("--description", "--desc", default="", metavar="TEXT", help="a description for list")
    parser.add_argument("--disk-only", action="store_true", help="without memory (the default)")
    parser.set_defaults(run=run_create)


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot list``."""
    parser.description = "List the snapshots, the oldest first. A star marks the one that the disk is based on."
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def info_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot info``."""
    parser.description = "Print one snapshot as JSON: the fields of list, its file, and its size in bytes."
    _add(parser)
    parser.set_defaults(run=run_info)


def revert_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot revert``."""
    parser.description = (
        "Return the disk, NVRAM and TPM to a snapshot. Changes since the last snapshot are lost. The VM "
        "must be off, or use --force. If the snapshot includes memory, the VM starts, and the guest "
        "continues from that moment. Definition, seed, ports and keys stay as they are."
    )
    _add(parser)
    parser.add_argument("--force", action="store_true", help="power off a running VM, and start it afterwards")
    parser.set_defaults(run=run_revert)


def delete_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm snapshot delete``."""
    parser.description = (
        "Delete a snapshot and merge its file into the one above it. The disk and other snapshots stay "
        "as they are, and a running VM keeps running."
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
    create_snapshot(record, args.snapshot, args.description, quiesce=args.quiesce, memory=args.memory)
    note(args).note(f"{record.words}: snapshot {args.snapshot} made")
    return EXIT_DONE


def run_list(args: argparse.Namespace) -> int:
    """Print the snapshots."""
    from ovtasks.instance.snapshot_list import snapshots_of, stands_on_snapshot

    folder = find_record(args).folder
    found, on = snapshots_of(folder), stands_on_snapshot(folder)
    if args.json:
        output_json([_facts(one, on) for one in found])
        return EXIT_DONE
    from ovtasks.cli.table import table

    rows = [("*" if one.name == on else "", one.name, one.created, one.description) for one in found]
    print(table(("", "NAME", "CREATED", "DESCRIPTION"), rows) if rows else "there are no snapshots")
    return EXIT_DONE


def run_info(args: argparse.Namespace) -> int:
    """Print one snapshot."""
    from ovtasks.instance.snapshot_list import stands_on_snapshot
    from ovtasks.instance.snapshots import named_snapshot

    record = find_record(args)
    found = named_snapshot(record, args.snapshot)
    file = record.folder.path / found.file
    size = file.stat().st_blocks * 512 if file.exists() else None
    output_json({**_facts(found, stands_on_snapshot(record.folder)), "file": str(file), "size": size})
    return EXIT_DONE


def _facts(one: DiskSnapshot, on: str | None) -> dict[str, Json]:
    return {
        "name": one.name,
        "created": one.created,
        "description": one.description,
        "memory": one.memory,
        "current": one.name == on,
    }


def run_revert(args: argparse.Namespace) -> int:
    """Go back to a snapshot."""
    from ovtasks.deploy.receipts import drop_all
    from ovtasks.deploy.stamp import drop_stamp
    from ovtasks.instance.aside import deploying
    from ovtasks.instance.power import powered_off
    from ovtasks.instance.snapshots import check_revert, named_snapshot, revert_snapshot

    record = find_record(args)
    found = named_snapshot(record, args.snapshot)
    off = powered_off(record, note(args)) if args.force else nullcontext()
    with deploying(record.domain, note(args)), off:
        check_revert(record, args.snapshot)
        drop_stamp(record)  # the disk may have other layers
        drop_all(record)
        revert_snapshot(record, args.snapshot, note(args))
    also = ", and its guest goes on from there" if found.memory else ""
    note(args).note(f"{record.words}: its disk is what it was at {args.snapshot}{also}")
    return EXIT_DONE


def run_delete(args: argparse.Namespace) -> int:
    """Delete a snapshot."""
    from ovtasks.instance.snapshots import delete_snapshot

    record = find_record(args)
    merged = delete_snapshot(record, args.snapshot)
    later = "" if merged else "; its file is merged by ov gc with the VM off"
    note(args).note(f"{record.words}: snapshot {args.snapshot} deleted{later}")
    return EXIT_DONE

"""What a VM's entry declares and what is made behind its first boot."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, read_project
from ovtasks.errors import InputError

if TYPE_CHECKING:
    from ovtasks.instance.record import Record


def make_declared_snapshots(args: argparse.Namespace, record: Record) -> None:
    """Make what ``snapshots:`` of the VM's entry says, if its project still is there.

    :raises OvError: one cannot be made.
    """
    from ovtasks.instance.declared_snapshots import make_declared
    from ovtasks.project.load import find_root

    try:
        project = read_project(args, find_root(record.project), [record.vm])
    except InputError:
        return  # `ov validate` tells about them
    spec = project.vms.get(record.vm)
    if spec is not None:
        make_declared(record, spec.snapshots, note(args))

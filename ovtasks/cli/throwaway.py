"""``ov vm run``: a command in a VM that is there for it alone."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, number, open_project, seconds
from ovtasks.errors import EXIT_DONE

if TYPE_CHECKING:
    from ovtasks.instance.record import Record


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm run``."""
    parser.description = (
        "Boot a throw-away VM like NAME, run the command after -- in it over ssh, with this command's "
        "stdin and stdout, and end with its exit status. Then remove the VM. Instances that `ov vm "
        "create` made stay untouched. Without a command, log in."
    )
    parser.epilog = (
        "exit codes: the command's; 255 ssh failed; 1 the VM did not get ready. After a kill, the next "
        "run or ov gc removes the VM."
    )
    parser.usage = "ov vm run [-h] [OPTION …] NAME [-- COMMAND …]"
    from ovtasks.cli.lifecycle import add_mounts

    parser.add_argument("vm", metavar="NAME", help="the VM to copy")
    parser.add_argument("--ram", metavar="SIZE", help="memory, replaces ram in vms.yml (8G)")
    parser.add_argument(
        "--cpus", type=number(4096, "number of processors"), metavar="N", help="processors, replaces cpus in vms.yml"
    )
    add_mounts(parser)
    parser.add_argument("-l", "--user", help="another user")
    parser.add_argument(
        "--for", dest="level", choices=("ssh", "cloud-init"), default="ssh", help="wait for this first (ssh)"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="give up after this time (default 120; ten times that under emulation)",
    )
    parser.add_argument("--no-build", dest="build", action="store_false", help="use the last built disk")
    parser.set_defaults(run=run_throwaway, ssh_key=None)


def run_throwaway(args: argparse.Namespace) -> int:
    """Build, create, wait, run, destroy.

    :raises OvError: the VM cannot be made, or does not get ready.
    """
    from ovtasks.cli.build import note_built, run_goals
    from ovtasks.cli.goals import open_graph
    from ovtasks.cli.lifecycle import overrides_of
    from ovtasks.instance.built import built_disk
    from ovtasks.instance.create import CreateOptions, create
    from ovtasks.instance.throwaway import Throwaway, sweep

    loaded_ns = time.time_ns()
    sweep(note(args))
    project = open_project(args, [args.vm])
    graph = open_graph(args, project)
    chain = graph.chain(args.vm)
    options = CreateOptions(overrides_of(args))
    if args.build:
        if (code := run_goals(graph, [f"build:{args.vm}"], quiet=args.quiet, idle="")) != EXIT_DONE:
            return code
        note_built(graph, [chain], [args.vm], loaded_ns)
    built = built_disk(graph, args.vm)
    with Throwaway(args.vm, note(args)) as own:
        made = create(project.vms[args.vm], own.instance, project, built, options, note(args))
        return _run_in(args, made.record)


def _run_in(args: argparse.Namespace, record: Record) -> int:
    """Wait until the guest is ready, and run the command; returns its exit status."""
    from ovtasks.cli.reach import WAIT_SECONDS
    from ovtasks.guest.ssh import ssh_argv
    from ovtasks.host.foreground import foreground
    from ovtasks.instance.access import first_contact, target_of
    from ovtasks.instance.ready import wait
    from ovtasks.instance.status import slowness

    slow = slowness(record)
    limit = WAIT_SECONDS * slow if args.timeout is None else args.timeout
    wait(record, args.level, limit, slow, note(args), folders=True)
    target = target_of(record, args.user, factor=slow)
    first_contact(record, note(args), seconds=target.patience)
    return foreground(ssh_argv(target, args.rest))

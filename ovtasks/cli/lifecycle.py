"""``ov vm create | start | stop | restart | suspend | resume | reset | destroy``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.common import (
    add_instance,
    agreed,
    declared,
    find_record,
    note,
    number,
    open_project,
    output_json,
    seconds,
    settle_update,
)
from ovtasks.cli.parser import suggest
from ovtasks.cli.several import add_instances, chosen, for_each
from ovtasks.errors import EXIT_DONE, InputError, OvError, RefusedError

if TYPE_CHECKING:
    from ovtasks.instance.record import Overrides, Record


def create_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm create``."""
    parser.description = (
        "Build what is stale, make what the VM lacks (disk, seed, definition), update what differs from "
        "vms.yml, and start the VM. Safe to repeat: an existing disk stays as it is, and a running VM "
        "keeps running."
    )
    parser.epilog = "--ram, --cpus, --ssh-key and --mount are remembered until --reset or destroy --disk."
    add_instance(parser)
    parser.add_argument("--ram", metavar="SIZE", help="memory, replaces ram in vms.yml (8G)")
    parser.add_argument(
        "--cpus", type=number(4096, "number of processors"), metavar="N", help="processors, replaces cpus in vms.yml"
    )
    key = parser.add_argument("--ssh-key", metavar="KEY", help="auto, generate, none, or a public key's file")
    suggest(key, ("auto", "generate", "none"))
    add_mounts(parser)
    parser.add_argument("--reset", action="store_true", help="forget the options of earlier creates")
    parser.add_argument("--no-start", dest="start", action="store_false", help="define it only")
    parser.add_argument("--no-build", dest="build", action="store_false", help="use the last built disk")
    parser.add_argument("--uri", metavar="URI", help="libvirt's connection ($OV_LIBVIRT_URI; default qemu:///session)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_create)


def start_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm start``."""
    parser.description = "Start stopped VMs with the definition of their last create."
    add_instances(parser)
    parser.set_defaults(run=run_start)


def stop_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm stop``."""
    parser.description = "Shut the guests down, one after the other, and wait until they are off."
    _add_stopping(parser)
    parser.set_defaults(run=run_stop)


def restart_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm restart``."""
    parser.description = "Stop, then start."
    _add_stopping(parser)
    parser.set_defaults(run=run_restart)


def suspend_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm suspend``."""
    parser.description = "Pause VMs. They keep their memory on this host until `ov vm resume`; a stop loses it."
    add_instances(parser)
    parser.set_defaults(run=run_control, control="suspend")


def resume_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm resume``."""
    parser.description = "Continue suspended VMs where they were."
    add_instances(parser)
    parser.set_defaults(run=run_control, control="resume")


def reset_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm reset``."""
    parser.description = (
        "Press the reset button: the guest reboots at once, and loses what it has not written to its disk."
    )
    add_instances(parser)
    parser.set_defaults(run=run_control, control="reset")


def _add_stopping(parser: argparse.ArgumentParser) -> None:
    add_instances(parser)
    parser.add_argument("--force", action="store_true", help="power off at once")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="then power off (default 60; ten times that under emulation)",
    )


def destroy_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm destroy``."""
    parser.description = (
        "Power the VM off and remove its definition. The disk stays, and `ov vm create` defines the VM "
        "again; with --disk the instance's folder is removed, too. Other instances and builds stay. In "
        "a terminal, ask before destroying a running VM or a disk."
    )
    add_instances(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--disk", action="store_true", help="also remove its disk, seed, NVRAM, keys and logs")
    parser.add_argument("--expired", action="store_true", help="destroy only an expired ephemeral VM, with its disk")
    parser.set_defaults(run=run_destroy)


def run_create(args: argparse.Namespace) -> int:
    """Build, then create."""
    from ovtasks.cli.build import note_built, run_goals
    from ovtasks.cli.goals import open_graph
    from ovtasks.instance.built import built_disk
    from ovtasks.instance.create import CreateOptions, create
    from ovtasks.instance.status import emulated

    loaded_ns = time.time_ns()
    project = open_project(args, [args.vm])
    graph = open_graph(args, project)
    graph.chain(args.vm)
    options = CreateOptions(overrides_of(args), args.reset, args.start, args.uri)
    settle_update(args)
    if args.build:
        if (code := run_goals(graph, [f"build:{args.vm}"], quiet=args.quiet, idle="")) != EXIT_DONE:
            return code
        note_built(graph, [graph.chain(args.vm)], [args.vm], loaded_ns)  # `ov vm list` and status use this note, too
    made = create(project.vms[args.vm], args.instance, project, built_disk(graph, args.vm), options, note(args))
    if args.json:
        output_json({"changes": list(made.changes), **_facts(made.record)})
    else:
        note(args).note(f"{made.record.words}: {', '.join(made.changes) or 'nothing to do'}")
    if made.changes and (slowly := emulated(made.record)) is not None:
        note(args).note(f"{made.record.words}: {slowly}")
    return EXIT_DONE


def overrides_of(args: argparse.Namespace) -> Overrides:
    """The overrides from ``--ram``, ``--cpus``, ``--ssh-key`` and ``--mount``, whose paths begin in this folder.

    :raises InputError: a size, a number or a mount is wrong.
    """
    from ovtasks.instance.record import Overrides

    mounts: list[str] = []
    for line in args.mount:
        from ovtasks.project.mounts import line_of, mount_of

        try:
            mounts.append(line_of(mount_of(line, Path.cwd())))
        except InputError as e:
            raise InputError(f"--mount: {e.message}", hint=e.hint) from None
    return Overrides.of({"ram": args.ram, "cpus": args.cpus, "ssh_key": args.ssh_key}, mounts)


def add_mounts(parser: argparse.ArgumentParser) -> None:
    """``--mount``."""
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="SRC:DST",
        help="also share a host folder: ./src:/src, or ./src:/src:ro; may be repeated",
    )


def _facts(record: Record) -> dict[str, object]:
    from ovtasks.values.jsonvalue import plain

    facts = plain(record)
    assert isinstance(facts, dict)
    return {**facts, "domain": record.domain, "directory": str(record.folder.path)}


def run_start(args: argparse.Namespace) -> int:
    """Start VMs; they may run already."""
    return for_each(args, chosen(args), _start)


def _start(args: argparse.Namespace) -> int:
    from ovtasks.backends.contract import VmState
    from ovtasks.instance.power import start
    from ovtasks.instance.status import status

    record = find_record(args)
    if start(record, note(args)):
        said = "started"
    elif status(record).state is VmState.PAUSED:
        said = f"is suspended; ov vm resume {record.words} continues it"
    else:
        said = "is running already"
    note(args).note(f"{record.words}: {said}")
    return EXIT_DONE


def run_stop(args: argparse.Namespace) -> int:
    """Stop VMs; they may be stopped already."""
    return for_each(args, chosen(args), _stop)


def _stop(args: argparse.Namespace) -> int:
    from ovtasks.instance.power import stop

    record = find_record(args)
    how = stop(record, note(args), force=args.force, timeout=args.timeout)
    if how == "forced" and not args.force:
        said = "the guest did not shut down in time: it was powered off"
    else:
        said = {"forced": "plug pulled"}.get(how, how)
    note(args).note(f"{record.words}: {said}")
    return EXIT_DONE


def run_restart(args: argparse.Namespace) -> int:
    """Stop and start."""
    return for_each(args, chosen(args), lambda one: _stop(one) or _start(one))


def run_control(args: argparse.Namespace) -> int:
    """Suspend, resume or reset VMs."""
    return for_each(args, chosen(args), _control)


def _control(args: argparse.Namespace) -> int:
    from ovtasks.instance.power import Control, control

    record, what = find_record(args), Control(args.control)
    done = {Control.SUSPEND: "suspended", Control.RESUME: "running", Control.RESET: "reset"}[what]
    changed = control(record, what, note(args))
    note(args).note(f"{record.words}: {done if changed else f'is {done} already'}")
    return EXIT_DONE


def run_destroy(args: argparse.Namespace) -> int:
    """Destroy instances; they need not exist. Without ``-y``, who sits at a terminal is asked.

    :raises RefusedError: the answer was no.
    """
    ones = chosen(args)
    hurt = [] if args.yes or args.expired else [words for one in ones if (words := _hurt(one))]
    if hurt and not agreed(f"destroy {', '.join(hurt)}"):
        raise RefusedError("nothing was destroyed", hint="-y skips the question")
    return for_each(args, ones, _destroy)


def _hurt(args: argparse.Namespace) -> str | None:
    """What a destroy would take that no other command brings back, in words. None: nothing."""
    from ovtasks.instance.find import find_or_none
    from ovtasks.instance.status import status

    try:
        settle_update(args)
        record = find_or_none(args.vm, args.instance)
    except OvError:  # the work will say what is wrong
        return None
    if record is None:
        return None
    runs = " (running)" if status(record).active else ""
    return f"{record.words}{runs}{' with its disk' if args.disk else ''}" if runs or args.disk else None


def _destroy(args: argparse.Namespace) -> int:
    from ovtasks.instance.aside import destroy_alone
    from ovtasks.instance.destroy import remove_leftovers
    from ovtasks.instance.find import find_or_none

    settle_update(args)
    if args.expired:
        from ovtasks.deploy.ephemeral import take_down

        take_down(args.vm, args.instance, note(args))
        return EXIT_DONE
    if find_or_none(args.vm, args.instance) is None:
        words = f"{args.vm} -i {args.instance}" if args.instance else args.vm
        if args.disk and remove_leftovers(args.vm, args.instance) is not None:
            note(args).note(f"{words}: its leftovers are removed")
            return EXIT_DONE
        find_declared(args)
        note(args).note(f"{words}: does not exist")
        return EXIT_DONE
    record = find_record(args)
    destroy_alone(record, note(args), disk=args.disk)
    kept = "" if args.disk else f" (its disk is kept in {record.folder.path})"
    note(args).note(f"{record.words}: destroyed{kept}")
    return EXIT_DONE


def find_declared(args: argparse.Namespace) -> None:
    """Accept an instance that does not exist only if the project declares the VM.

    :raises InputError: it does not; this is probably a typo.
    """
    from ovtasks.instance.find import find

    names = declared(args)
    if args.vm not in names:
        find(args.vm, args.instance, declared=names)

"""``ov vm ssh | scp | ssh-config | console | wait``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ovtasks.cli.common import Notes, add_instance, find_record, note, number, output_json, seconds
from ovtasks.errors import EXIT_DONE, InputError, OvError

if TYPE_CHECKING:
    from ovtasks.instance.record import Record

WAIT_SECONDS = 120.0
"""The default time limit of ``wait``; ten times that under plain emulation."""


def ssh_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm ssh``."""
    parser.description = (
        "Log in with ssh, or run the command after --. Ends with ssh's exit status. ov knows the host "
        "key before the first connection."
    )
    parser.usage = "ov vm ssh [-h] [-i INSTANCE] [-p PORT] [-l USER] NAME [-- COMMAND …]"
    add_instance(parser)
    parser.add_argument("-p", "--port", type=number(65535, "port"), help="another port")
    parser.add_argument("-l", "--user", help="another user")
    _add_accept(parser)
    parser.set_defaults(run=run_ssh)


def scp_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm scp``."""
    parser.description = "Copy files with scp. Write a colon before a path in the guest: ov vm scp web a.txt :/tmp/"
    add_instance(parser)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="sources, then the destination")
    parser.add_argument("-r", "--recursive", action="store_true", help="copy folders")
    parser.add_argument("-l", "--user", help="another user")
    _add_accept(parser)
    parser.set_defaults(run=run_scp)


def ssh_config_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm ssh-config``, which is also ``ov ssh-config``."""
    parser.description = (
        "Print an SSH configuration of NAME (default: all VMs). With --install, add one Include to "
        "~/.ssh/config, so that `ssh ov-NAME` works everywhere; --remove removes it."
    )
    parser.add_argument("vm", nargs="?", metavar="NAME", help="the VM (default: all)")
    parser.add_argument("-i", "--instance", metavar="INSTANCE", help="another VM of NAME")
    parser.add_argument("--install", action="store_true", help="add an Include to ~/.ssh/config")
    parser.add_argument("--remove", action="store_true", help="remove the Include")
    parser.set_defaults(run=run_ssh_config)


def console_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm console``."""
    parser.description = "Show the past output of the serial console, then connect to it; ^] leaves."
    add_instance(parser)
    parser.add_argument("--log", action="store_true", help="only show the console, do not type")
    parser.set_defaults(run=run_console)


def wait_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm wait``."""
    parser.description = (
        "Wait until the guest has booted (boot), accepts a login (ssh), or has finished cloud-init. If "
        "it fails, say how far the guest came, and why. After ssh and cloud-init, ov makes the "
        "snapshots that the VM's entry declares, once."
    )
    parser.epilog = "exit codes: 0 ready, 1 too late or broken, 2 ready but cloud-init reported errors (degraded)"
    add_instance(parser)
    parser.add_argument(
        "--for", dest="level", choices=("boot", "ssh", "cloud-init"), default="ssh", help="what to wait for (ssh)"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="give up after this time (default 120; ten times that under emulation)",
    )
    parser.add_argument("--probe", metavar="COMMAND", help="then run COMMAND in the guest until it succeeds")
    _add_accept(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_wait)


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-new-host-key",
        dest="accept",
        action="store_true",
        help="accept and record the host key that the guest shows now",
    )


def need_running(record: Record) -> None:
    """Check that the VM runs. If its backend cannot be asked, try anyway.

    :raises OvError: it is not running.
    """
    from ovtasks.backends.contract import VmState
    from ovtasks.instance.status import status

    now = status(record)
    if not now.active and now.state is not VmState.UNKNOWN:
        raise OvError(f"{record.words} is {now.state.value}", hint=f"ov vm start {record.words}")


def run_ssh(args: argparse.Namespace) -> int:
    """Replace this process by ssh."""
    record = find_record(args)
    need_running(record)
    from ovtasks.guest.ssh import exec_ssh, greeted
    from ovtasks.instance.access import first_contact, target_of
    from ovtasks.instance.status import slowness

    target = target_of(record, args.user, args.port, factor=slowness(record))
    if args.port is None or args.accept:
        first_contact(record, note(args), seconds=target.patience, accept=args.accept, port=args.port)
    exec_ssh(target if args.quiet else greeted(target), args.rest)


def run_scp(args: argparse.Namespace) -> int:
    """Replace this process by scp."""
    from ovtasks.guest.ssh import become, greeted, scp_argv
    from ovtasks.instance.access import first_contact, target_of
    from ovtasks.instance.status import slowness

    record = find_record(args)
    if len(args.paths) < 2:
        raise InputError("scp needs a source and a destination", hint=f"ov vm scp {record.vm} a.txt :/tmp/")
    own = f"{record.vm}:"
    paths = [f":{path.removeprefix(own)}" if path.startswith(own) else path for path in args.paths]
    if not any(path.startswith(":") for path in paths):
        raise InputError("no path is in the guest", hint=f"put a colon in front: :{paths[-1]}")
    need_running(record)
    target = target_of(record, args.user, factor=slowness(record))
    first_contact(record, note(args), seconds=target.patience, accept=args.accept)
    target = target if args.quiet else greeted(target)
    become(scp_argv(target, paths[:-1], paths[-1], extra=["-r"] if args.recursive else ()))


def run_ssh_config(args: argparse.Namespace) -> int:
    """Print ssh's configuration, or install or remove the ``Include`` of it."""
    from ovtasks.instance import ssh_include
    from ovtasks.instance.find import every

    if args.install and args.remove:
        raise InputError("--install and --remove contradict each other", hint="give one of the two")
    if args.install or args.remove:
        changed = ssh_include.install() if args.install else ssh_include.remove()
        what = "includes the VMs" if args.install else "does not include the VMs"
        note(args).note(f"{ssh_include.user_file()} {what}{' now' if changed else ' already'}")
        return EXIT_DONE
    records = [find_record(args)] if args.vm else list(every())
    sys.stdout.write(ssh_include.text(records))
    return EXIT_DONE


def run_console(args: argparse.Namespace) -> int:
    """Connect to the console, or only show it."""
    from ovtasks.backends.contract import backend
    from ovtasks.cli.serial_log import follow
    from ovtasks.cli.terminal import console

    record = find_record(args)
    if not args.log:
        need_running(record)
        return console(
            lambda: backend(record.backend).console(record.handle), record.folder.serial_log, name=record.words
        )
    if not _running(record):
        _explain_silence(record, note(args))
    follow(record.folder.serial_log, sys.stdout.buffer, lines=None, until=lambda: not _running(record))
    return EXIT_DONE


def _explain_silence(record: Record, notes: Notes) -> None:
    """Say why nothing new will come, and whether there is a log."""
    log = record.folder.serial_log
    said = "this is the log of its last run" if log.exists() and log.stat().st_size else "there is no log yet"
    notes.note(f"{record.words} does not run; {said}: {log}")


def _running(record: Record) -> bool:
    from ovtasks.instance.status import status

    return status(record).active


def run_wait(args: argparse.Namespace) -> int:
    """Wait, and report how far the guest came."""
    from ovtasks.instance.ready import wait
    from ovtasks.instance.status import slowness

    record = find_record(args)
    slow = slowness(record)
    limit = WAIT_SECONDS * slow if args.timeout is None else args.timeout
    ready = wait(record, args.level, limit, slow, note(args), probe=args.probe, accept=args.accept)
    if args.level != "boot" and ready.exit_code == EXIT_DONE:
        from ovtasks.cli.declared import make_declared_snapshots

        make_declared_snapshots(args, record)
    if args.json:
        output_json(ready.facts())
    return ready.exit_code

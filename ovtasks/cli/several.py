"""Verbs that are for one VM, for several, or for all of the project."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable

from ovtasks.cli.common import add_instance_option
from ovtasks.cli.streams import say_errors
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, InputError, OvError


def add_instances(parser: argparse.ArgumentParser) -> None:
    """Add the arguments ``NAME…``, ``--all`` and ``-i``."""
    parser.add_argument("vms", nargs="*", metavar="NAME", help="one VM or several")
    parser.add_argument("--all", action="store_true", help="every created VM of this project; with -i these instances")
    add_instance_option(parser)


def chosen(args: Namespace) -> list[Namespace]:
    """The arguments for each instance that the command line means, in ``vm`` and ``instance``.

    :raises InputError: it names none, or some and ``--all``; or ``--all`` is said outside of a project.
    """
    if args.all and args.vms:
        raise InputError("--all takes no names", hint="name VMs, or say --all")
    if not args.all:
        if not args.vms:
            raise InputError("no VM is named", hint="name one or several, or say --all")
        return [_of(args, vm, args.instance) for vm in dict.fromkeys(args.vms)]
    from ovtasks.instance.find import every
    from ovtasks.project.load import find_root

    root = find_root(args.directory.absolute())
    damaged: list[OvError] = []
    found = [record for record in every(damaged) if record.project == root]
    say_errors(damaged)
    return [_of(args, one.vm, one.instance) for one in found if args.instance in {None, one.instance}]


def _of(args: Namespace, vm: str, instance: str | None) -> Namespace:
    return Namespace(**{**vars(args), "vm": vm, "instance": instance})


def for_each(args: Namespace, ones: list[Namespace], work: Callable[[Namespace], int]) -> int:
    """Do the work for each; what fails for one stops no other. Returns the exit code: the failures', if they agree.

    :raises OvError: the only VM that the command line names failed.
    """
    if len(ones) == 1 and not args.all:
        return work(ones[0])
    codes = set()
    for one in ones:
        try:
            codes.add(work(one))
        except OvError as e:
            say_errors([e])
            codes.add(e.exit_code)
    codes.discard(EXIT_DONE)
    return EXIT_DONE if not codes else codes.pop() if len(codes) == 1 else EXIT_FAILED

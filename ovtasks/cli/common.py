"""What several commands share: the project, the instance, notes. What a command may not need is imported on call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.streams import output_json
from ovtasks.errors import InputError

if TYPE_CHECKING:
    from ovtasks.instance.record import Record
    from ovtasks.project.model import Project


def open_project(args: argparse.Namespace, about: Iterable[str] = ()) -> Project:
    """The project that ``-C`` or the current folder is in.

    ``about`` are the VMs, goals or deployments (``deploy:<name>``) that the command is about. With them, mistakes in
    other entries are warnings.

    :raises InputError: there is none, or its files are wrong.
    """
    from ovtasks.project.load import find_root

    return read_project(args, find_root(args.directory.absolute()), about)


def read_project(args: argparse.Namespace, root: Path, about: Iterable[str] = ()) -> Project:
    """The project in ``root``, for :func:`open_project`.

    :raises InputErrors: its files are wrong.
    """
    from ovtasks.graph import plugins
    from ovtasks.project.load import load_project

    about = tuple(about)
    project = load_project(root, kinds=plugins.schema, tolerant=bool(about))
    if project.wrong:
        from ovtasks.project.mistakes import owners_in, raise_wrong, warnings

        raise_wrong(project, owners_in(about))
        for text in warnings(project):
            note(args).note(text)
    return project


def project_around(args: argparse.Namespace, about: Iterable[str] = ()) -> Project | None:
    """Like :func:`open_project`, but None if there is no project.

    :raises InputError: its files are wrong, and they decide what is in use.
    """
    from ovtasks.project.load import find_root

    try:
        find_root(args.directory.absolute())
    except InputError:
        return None
    return open_project(args, about)


class Notes:
    """The :class:`ovtasks.host.progress.Progress` of quick verbs: it prints notes on stderr."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = ""

    def note(self, text: str) -> None:
        """Print one line, above the live one."""
        if not self._quiet:
            live, wipe = self._live, self._wipe()
            self._live = ""
            print(f"{wipe}{text}", file=sys.stderr, flush=True)
            if live:
                self.live(live)

    def live(self, text: str) -> bool:
        """Show ``text`` as the terminal's last line until the next one; empty: remove it. False: no terminal."""
        if self._quiet or not sys.stderr.isatty():
            return False
        from shutil import get_terminal_size

        if text or self._live:
            sys.stderr.write(f"{self._wipe()}{text[: get_terminal_size().columns - 1]}")
            sys.stderr.flush()
        self._live = text
        return True

    def _wipe(self) -> str:
        return "\r\x1b[K" if self._live else ""

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Show nothing: these verbs are too quick for a bar."""


def note(args: argparse.Namespace) -> Notes:
    """The notes of a verb; silent with ``-q``."""
    return Notes(args.quiet)


def add_instance(parser: argparse.ArgumentParser) -> None:
    """Add the arguments ``NAME`` and ``-i``."""
    parser.add_argument("vm", metavar="NAME", help="the VM")
    add_instance_option(parser)


def add_instance_option(parser: argparse.ArgumentParser) -> None:
    """Add ``-i``."""
    parser.add_argument("-i", "--instance", metavar="INSTANCE", help="another VM of NAME, with its own disk")


def agreed(what: str) -> bool:
    """Whether the user wants it. Nobody is asked without a terminal."""
    if not sys.stdin.isatty():
        return True
    print(f"{what}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def number(most: int, what: str) -> Callable[[str], int]:
    """A parser for ``what``: a whole number from 1 to ``most`` on the command line."""

    def checked(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
        return int(text)

    return checked


def seconds(text: str) -> float:
    """A duration on the command line.

    :raises argparse.ArgumentTypeError: ``text`` is not a duration.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def declared(args: argparse.Namespace) -> Collection[str]:
    """The VMs of the current project; empty if there is none."""
    try:
        return open_project(args).vms
    except InputError:
        return ()


def settle_update(args: argparse.Namespace) -> None:
    """Put back what an update of the instance on the command line has kept aside, if it was killed.

    :raises OvError: it cannot be put back.
    """
    from ovtasks.instance.aside import settle
    from ovtasks.instance.record import domain_of

    settle(domain_of(args.vm, args.instance), note(args))


def find_record(args: argparse.Namespace) -> Record:
    """The instance that the command line names. An update of it that was killed is settled first.

    :raises InputError: it does not exist.
    """
    from ovtasks.instance.find import find, find_or_none

    settle_update(args)
    return find_or_none(args.vm, args.instance) or find(args.vm, args.instance, declared=declared(args))


__all__ = [
    "add_instance",
    "add_instance_option",
    "agreed",
    "declared",
    "find_record",
    "note",
    "number",
    "open_project",
    "output_json",
    "project_around",
    "read_project",
    "seconds",
    "settle_update",
]

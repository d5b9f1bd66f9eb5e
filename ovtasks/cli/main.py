"""The parser of ``ov`` and the one place where errors become messages and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ovtasks import __version__
from ovtasks.cli import interrupts, streams
from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.parser import Parser, add_commands
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, InputErrors, OvError
from ovtasks.host import patience

EXIT_INTERRUPTED = 130
_REST = {("vm", "ssh"), ("vm", "run"), ("guest", "exec"), ("fsfreeze", "freeze")}
"""The verbs that take a command behind ``--``."""


def parser() -> argparse.ArgumentParser:
    """The whole command line; see :mod:`ovtasks.cli.commands`."""
    top = Parser(
        prog="ov",
        description="Build the VMs of vms.yml and the images of image.yml; only what is stale runs.",
        epilog="exit codes: 0 done, 1 failed, 2 wrong input, 3 refused, 4 something would run (plan --exit-code) "
        "or differs (vm diff, deploy status --drift)",
    )
    top.add_argument("--version", action="version", version=f"ov {__version__}")
    top.add_argument(
        "-C",
        dest="directory",
        type=Path,
        default=Path(os.environ.get("OV_PROJECT_DIR", ".")),
        metavar="DIR",
        help="the project's folder (default: this one or one above it; $OV_PROJECT_DIR)",
    )
    top.add_argument("-q", "--quiet", action="store_true", help="print errors and results only")
    top.add_argument("-v", "--verbose", action="store_true", help="show each program that runs, with its time")
    top.add_argument("--debug", action="store_true", help="also show the output of these programs ($OV_DEBUG)")
    colours = "colours: auto (the default: on a terminal, unless $NO_COLOR is set), always or never"
    top.add_argument("--color", choices=("auto", "always", "never"), default="auto", help=colours)
    add_commands(top, COMMANDS, "COMMAND")
    return top


def split_rest(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off the command behind ``--`` of ``ov vm ssh`` and the like, in which argparse would look for options."""
    words = list(words)
    at = words.index("--") if "--" in words else len(words)
    if not _REST & set(pairwise(words[:at])):
        return words, []
    return words[:at], words[at + 1 :]


def run(words: Sequence[str]) -> int:
    """Parse and run one command; prints errors to stderr and returns the exit code."""
    streams.prepare()
    try:
        with interrupts.raised():
            code = _run(words)
            streams.flush()
            return code
    except KeyboardInterrupt:
        return streams.last_words("\nov: interrupted; finished steps are kept", EXIT_INTERRUPTED)
    except BrokenPipeError:
        streams.abandon(sys.stdout, sys.stderr)  # nobody reads any more
        return EXIT_FAILED
    except (OSError, UnicodeError, RecursionError) as e:
        from ovtasks.host.oserrors import explained

        doing = "" if streams.stdout_works() else "the output cannot be written"
        return streams.last_words(f"ov: {explained(e, doing)}", EXIT_FAILED)
    finally:
        patience.tell(None)


def _run(words: Sequence[str]) -> int:
    before, rest = split_rest(words)
    try:
        try:
            args = parser().parse_args(before)
        except SystemExit as e:  # --help, --version, or unknown words
            return int(e.code or EXIT_DONE)
        args.words, args.rest = list(words), rest
        _show_as_wanted(args)
        return int(args.run(args))
    except OvError as e:
        streams.say_errors(e.errors if isinstance(e, InputErrors) else [e])
        return e.exit_code


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_as_wanted(args: argparse.Namespace) -> None:
    """Apply ``-q``, ``--color``, ``-v`` and ``--debug``."""
    patience.tell(None if args.quiet else _print)
    if args.color != "auto":
        from ovtasks.host import colour

        colour.set_mode(colour.ColourMode(args.color))
    if args.verbose or args.debug:
        from ovtasks.host import hearing, verbosity

        verbosity.set_level(verbosity.Verbosity.ALL if args.debug else verbosity.Verbosity.PROGRAMS)
        hearing.listen(verbosity.ProgramPrinter())


__all__ = ["EXIT_INPUT", "parser", "run"]

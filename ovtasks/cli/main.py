"""The parser of ``ov`` and the one place where errors become messages and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ovtasks import __version__
from ovtasks.cli import draw, gc, lock, plan, settings, validate, vm, why
from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, InputErrors, OvError

EXIT_INTERRUPTED = 130
NOUNS = (vm, plan, why, draw, lock, gc, validate, settings)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="ov",
        description="Build the VMs of vms.yml; only what is stale runs.",
        epilog="exit codes: 0 done, 1 failed, 2 wrong input, 3 refused, 4 something would run (plan --exit-code)",
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
    subparsers = top.add_subparsers(required=True, metavar="COMMAND")
    for noun in NOUNS:
        noun.add_parser(subparsers)
    return top


def run(words: Sequence[str]) -> int:
    """Parse and run one command; prints errors to stderr and returns the exit code."""
    args = parser().parse_args(words)
    args.words = list(words)
    try:
        return int(args.run(args))
    except InputErrors as e:
        for error in e.errors:
            print(f"ov: {error}", file=sys.stderr)
        return e.exit_code
    except OvError as e:
        print(f"ov: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("\nov: interrupted; finished steps are kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; say nothing at exit either
        return EXIT_FAILED


__all__ = ["EXIT_INPUT", "parser", "run"]

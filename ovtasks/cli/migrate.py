"""``ov migrate``: rewrite the files of another version in today's format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ovtasks.errors import EXIT_DONE
from ovtasks.host.colour import wanted

COLOURS = {"+++": "1", "---": "1", "@@": "36", "+": "32", "-": "31"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov migrate``."""
    from ovtasks.migrate.run import KINDS

    parser.description = (
        (
            "Convert the project's files to the current format. Comments, order and layout stay; a backup "
            "goes to ov-backup-<time>/. Without KIND, or with --all: all migrations. Migrations: "
        )
        + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
        + ". The exit code is 0 with or without changes."
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("kind", nargs="?", choices=tuple(KINDS), metavar="KIND", help=", ".join(KINDS))
    kinds.add_argument("--all", action="store_true", help="all migrations, names first (default)")
    parser.add_argument("--dry-run", action="store_true", help="show the difference, write nothing")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write the files into this new folder, and keep the project"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what changes, and write it.

    :raises InputError: there is no project, or a file cannot be migrated as it is.
    """
    from ovtasks.migrate.commit import alone, finish, refuse_unfinished
    from ovtasks.migrate.run import KINDS
    from ovtasks.project.load import find_root

    root = find_root(args.directory.absolute())
    kinds = [args.kind] if args.kind else ["names", *(kind for kind in KINDS if kind != "names")]
    if args.dry_run or args.output is not None:
        refuse_unfinished(root)
        return _migrate(args, root, kinds)
    with alone(root):
        if (backup := finish(root)) is not None:
            _say(args, f"finished a migration that was interrupted; the old files are in {backup.name}/")
        return _migrate(args, root, kinds)


def _migrate(args: argparse.Namespace, root: Path, kinds: list[str]) -> int:
    from ovtasks.migrate.commit import write_all
    from ovtasks.migrate.run import difference, migrated, write_aside

    texts = migrated(root, kinds)
    new = texts.changed()
    _print(difference(texts, new))
    count = f"{len(new)} file{'' if len(new) == 1 else 's'}"
    if args.output is not None and not args.dry_run:
        folder = (args.directory / args.output).absolute()
        write_aside(texts, folder)
        _say(args, f"{count} changed, all written to {folder}")
    elif not new:
        _say(args, "nothing to migrate")
    elif args.dry_run:
        _say(args, f"{count} would change")
    else:
        backup = write_all(root, new, texts.before)
        _say(args, f"{count} changed; the old ones are in {backup.name}/")
    return EXIT_DONE


def _print(lines: Iterable[str]) -> None:
    colour = wanted(sys.stdout)
    for line in lines:
        code = next((code for start, code in COLOURS.items() if line.startswith(start)), None) if colour else None
        print(f"\033[{code}m{line}\033[0m" if code else line)


def _say(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        print(f"ov: {text}", file=sys.stderr)

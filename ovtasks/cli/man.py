"""``ov man``: manual pages, made from the parsers."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import ovtasks
from ovtasks.cli.common import note
from ovtasks.cli.tree import CommandManual, manuals
from ovtasks.errors import EXIT_DONE, InputError

SECTION = 1
_CODES = {"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", "'": r"\(aq", '"': r"\(dq"}
"""Characters that mean something to roff, or that it would print as another one."""
_EXIT = "exit codes: "


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov man``."""
    parser.description = (
        "Show the manual page of a command (default: ov), or write all pages into a folder for man, as "
        "man1/ov-vm-create.1 and so on."
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="the command, without ov: vm create")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="write all pages below this folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the pages; then become ``man``.

    :raises InputError: there is no such command. :raises MissingProgramError: man is not installed.
    """
    from ovtasks.guest.ssh import become
    from ovtasks.host.paths import cache_home

    if args.dir is not None and args.command:
        raise InputError("--dir writes all pages", hint="leave the command out")
    pages = {_name(one.words): roff(one, _day()) for one in manuals()}
    name = _name(tuple(args.command))
    if name not in pages:
        from ovtasks.values.words import did_you_mean

        known = [page.replace("-", " ").removeprefix("ov ") for page in pages]
        words = " ".join(args.command)
        raise InputError(f"there is no command ov {words}", hint=did_you_mean(words, known) or "ov --help lists all")
    folder = args.dir if args.dir is not None else cache_home() / "man"
    changed = write(folder, pages)
    if args.dir is not None:
        note(args).note(f"{folder}: {len(pages)} pages, {changed} new or changed")
        return EXIT_DONE
    return become(["man", "-M", os.fspath(folder), name])


def write(folder: Path, pages: dict[str, str]) -> int:
    """Write the pages that are not there yet as they are to be; returns how many these were.

    :raises OSError: that cannot be done. :raises UnsafeError: a link leads to the folder.
    """
    from ovtasks.host.files import write_atomic

    changed = 0
    for name, text in pages.items():
        path = folder / f"man{SECTION}" / f"{name}.{SECTION}"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text)
            changed += 1
    return changed


def _name(words: tuple[str, ...]) -> str:
    return "-".join(("ov", *words))


def _day() -> str:
    """The day on which this version was installed."""
    return time.strftime("%Y-%m-%d", time.gmtime(Path(ovtasks.__file__).stat().st_mtime))


def roff(manual: CommandManual, day: str) -> str:
    """The page in the macros of man(7)."""
    return "\n".join(_lines(manual, day)) + "\n"


def _lines(manual: CommandManual, day: str) -> Iterator[str]:
    name = _name(manual.words)
    command = " ".join(("ov", *manual.words))
    help = manual.command.help.rstrip(".")
    yield f'.TH {escaped(name.upper())} {SECTION} {day} "ovtasks {ovtasks.__version__}" "ovtasks"'
    yield from (".SH NAME", f"{escaped(name)} \\- {escaped(help)}")
    yield from (".SH SYNOPSIS", f".B {escaped(command)}")
    if rest := manual.usage.removeprefix(command).strip():
        yield _line(rest)
    yield from (".SH DESCRIPTION", _line(manual.description))
    if aliases := manual.command.aliases:
        yield from (".PP", _line(f"Also called {' and '.join(f'`{one}`' for one in aliases)}."))
    if manual.below:
        yield ".SH COMMANDS"
    for heading, commands in manual.below.items():
        if heading:
            yield f'.SS "{escaped(heading)}"'
        for one in commands:
            yield from (".TP", f".BR {escaped(_name((*manual.words, one.name)))} ({SECTION})", _line(one.help))
    for heading, terms in (("ARGUMENTS", manual.arguments), ("OPTIONS", manual.options)):
        if terms:
            yield f".SH {heading}"
        for term, text in terms:
            yield from (".TP", f".B {escaped(term)}", _line(text))
    if manual.epilog:
        exits = manual.epilog.startswith(_EXIT)
        yield '.SH "EXIT STATUS"' if exits else ".SH NOTES"
        yield _line(manual.epilog.removeprefix(_EXIT))
    if manual.examples:
        yield ".SH EXAMPLES"
    for example, text in manual.examples.items():
        yield from (".TP", f".B {escaped(example)}", _line(text))
    if manual.words:
        above = [_name(manual.words[:count]) for count in range(len(manual.words))]
        yield '.SH "SEE ALSO"'
        yield from (f".BR {escaped(one)} ({SECTION}){',' if one != above[-1] else ''}" for one in above)


def escaped(text: str) -> str:
    """The text as roff prints it: every character as it is written here."""
    return "".join(_CODES.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def _line(text: str) -> str:
    """A line of running text, with what stands between backticks in bold."""
    parts = [escaped(part) for part in text.split("`")]
    line = "".join(f"\\fB{part}\\fR" if place % 2 else part for place, part in enumerate(parts))
    return f"\\&{line}" if line.startswith(".") else line

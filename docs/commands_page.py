"""``docs/commands.md``: every command, from the parsers and the table of examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from docs.generate import ROOT
from ovtasks.cli.tree import CommandManual, manuals

WIDTH = 120
PAGE: Path = ROOT / "docs" / "commands.md"
HEAD = """# Commands

Made from the parsers by `python -m docs.generate`; do not edit. `ov COMMAND --help` and `ov man COMMAND` say the same.
The Tab key completes all of it ([how to switch it on](running.md#the-tab-key)).

`-C DIR`, `-q`, `-v`, `--debug` and `--color` stand before the command: `ov -q vm build web`. Other options stand
anywhere behind it, and are written out: `--continue`, not `--cont`.

"""


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(line for one in manuals() for line in _section(one)).rstrip() + "\n"


def _section(manual: CommandManual) -> Iterator[str]:
    """A heading, the description, the usage, a table of what may be given, examples."""
    depth = "##" if len(manual.words) < 2 else "###"
    yield from (f"{depth} {' '.join(('ov', *manual.words))}", "", _filled(manual.description), "")
    yield from ("```text", manual.usage, "```", "")
    if aliases := manual.command.aliases:
        yield from (f"Also called {' and '.join(f'`{one}`' for one in aliases)}.", "")
    if terms := [*manual.arguments, *((term, text) for term, text in manual.options if "--help" not in term)]:
        yield from ("| | |", "|---|---|")
        yield from (f"| `{_cell(term)}` | {_cell(text)} |" for term, text in terms)
        yield ""
    if manual.epilog:
        yield from (_filled(manual.epilog[0].upper() + manual.epilog[1:].rstrip(".") + "."), "")
    if manual.examples:
        width = max(map(len, manual.examples))
        yield from ("```console", *(f"{line:<{width}}  # {text}" for line, text in manual.examples.items()), "```", "")


def _filled(text: str) -> str:
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

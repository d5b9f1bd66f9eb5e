"""``ov explain``: what an error means, and what to do. It needs no network and no project."""

from __future__ import annotations

import argparse
import re

from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, InputError
from ovtasks.errors.catalogue import ErrorRow, article, by_id, find


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov explain``."""
    parser.add_argument("error", nargs="+", metavar="ID|TEXT", help="ids as in OV-1001, or the text of one error")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is known of each error.

    :raises InputError: there is no such error.
    """
    found = _by_ids(args.error) or [_by_text(" ".join(args.error))]
    if args.json:
        output_json({"errors": [_as_json(row) for row in found]})
    else:
        print("\n\n".join(f"{row.id}: {row.text}\n\n{_plain(article(row))}" for row in found))
    return EXIT_DONE


def _by_ids(words: list[str]) -> list[ErrorRow]:
    """The rows of these ids; none when a word is not an id."""
    numbers = [word.upper().removeprefix("OV-") for word in words]
    if not all(number.isdigit() for number in numbers):
        return []
    found = []
    for number in numbers:
        row = by_id(number)
        if row is None:
            raise InputError(f"no error has the id OV-{number}", hint="ov explain also takes the text of an error")
        found.append(row)
    return found


def _by_text(text: str) -> ErrorRow:
    row = find(text)
    if row is None:
        raise InputError(f"no error says '{text}'", hint="give more of its text, or the id on its last line")
    return row


def _plain(text: str) -> str:
    """Markdown without its links."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)


def _as_json(row: ErrorRow) -> dict[str, object]:
    return {"id": row.id, "message": row.text, "hints": list(row.hints), "exits": list(row.exits), "text": article(row)}

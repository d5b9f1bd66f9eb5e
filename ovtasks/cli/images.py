"""``ov images``: the built-in list of official images, for ``source:`` in ``vms.yml``."""

from __future__ import annotations

import argparse
import platform

from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov images``."""
    parser.description = (
        "List official images: the name for source: in vms.yml, the login user, how ov verifies it, and "
        "the day of the last check. The list is part of ov."
    )
    parser.add_argument(
        "search", nargs="*", metavar="WORD", help="only images with these words in their names or titles"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (images.schema.json)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the rows that have every word.

    :raises InputError: there is none.
    """
    from ovtasks.project.official import near_official, official_images

    rows = [
        one
        for one in official_images()
        if all(any(word.lower() in text.lower() for text in (one.name, one.title, *one.also)) for word in args.search)
    ]
    if not rows:
        words = " ".join(args.search)
        raise InputError(f"no official image has '{words}' in its name", hint=near_official(words))
    if args.json:
        output_json({"images": [dict(one.row) for one in rows]})
        return EXIT_DONE
    table = [("NAME", "TITLE", "USER", "VERIFIED BY", "CHECKED", "ALSO")]
    for one in rows:
        here = one.title if platform.machine() in one.arches else f"{one.title} (not for {platform.machine()})"
        proof = "signature" if one.signed else f"{one.row['checksum']['type']} by https"
        table.append((one.name, here, one.row["user"], proof, one.row["checked"], ", ".join(one.also)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return EXIT_DONE

"""JSON on stdout, errors on stderr; :mod:`ovtasks.host.streams` takes care of the streams themselves."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence

from ovtasks.errors import OvError
from ovtasks.host.streams import abandon, flush, last_words, prepare, stdout_works


def say_errors(errors: Sequence[OvError]) -> None:
    """Print errors on stderr, and below the last one how to read more about them."""
    from ovtasks.host.colour import Hue, painted

    for error in errors:
        print(f"{painted('ov:', Hue.BAD, sys.stderr)} {error}", file=sys.stderr)
    if errors:
        from ovtasks.errors.catalogue import pointer

        if line := pointer(errors):
            print(line, file=sys.stderr)


def output_json(data: object) -> None:
    """Print JSON on stdout; in a locale that cannot hold every character, with escapes."""
    import json

    json.dump(data, sys.stdout, indent=1, ensure_ascii=not _takes_unicode())
    sys.stdout.write("\n")


def _takes_unicode() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


__all__ = ["abandon", "flush", "last_words", "output_json", "prepare", "say_errors", "stdout_works"]

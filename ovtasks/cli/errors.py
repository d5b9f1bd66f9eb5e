"""How the command line prints errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ovtasks.errors import OvError


def say_errors(errors: Sequence[OvError]) -> None:
    """Print errors on stderr, and below the last one how to read more about them."""
    for error in errors:
        print(f"ov: {error}", file=sys.stderr)
    if errors:
        from ovtasks.errors.catalogue import pointer

        if line := pointer(errors):
            print(line, file=sys.stderr)

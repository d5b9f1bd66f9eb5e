"""Rows as text, with states in their colours."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ovtasks.host.colour import state
from ovtasks.values.words import columns

STATES = {"STATE", "BUILD"}
"""The columns that hold states."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as text for stdout, with columns as wide as necessary; states in their colours."""
    wide = [max(columns(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(f"{name}{' ' * (width - len(name))}" for name, width in zip(head, wide, strict=True))]
    for row in rows:
        cells = zip(head, row, wide, strict=True)
        lines.append(
            "  ".join(
                f"{state(cell, sys.stdout) if name in STATES else cell}{' ' * (width - columns(cell))}"
                for name, cell, width in cells
            )
        )
    return "".join(f"{line.rstrip()}\n" for line in lines)

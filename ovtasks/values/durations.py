"""Reads and writes lengths of time, such as ``30d``."""

from __future__ import annotations

import re

from ovtasks.errors import InputError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
EXAMPLES = "write it as 30d, 12h, 90m, 2w or 1y (s, m for minutes, h, d, w, y)"
LIMIT = 1000 * UNITS["y"]

_DURATION = re.compile(r"([0-9]{1,9})[ \t]*([smhdwy])", re.IGNORECASE | re.ASCII)


def parse_duration(text: str) -> int:
    """A length of time in seconds.

    :raises InputError: ``text`` is not a length of time, lacks a unit, or exceeds 1000 years; the hint shows examples.
    """
    word = text.strip()
    found = _DURATION.fullmatch(word)
    if found is None:
        what = "has no unit" if word.isdecimal() else "is not a length of time"
        raise InputError(f"{text[:60]!r} {what}", hint=EXAMPLES)
    seconds = int(found[1]) * UNITS[found[2].lower()]
    if seconds > LIMIT:
        raise InputError(f"{text!r} is longer than 1000 years", hint=EXAMPLES)
    return seconds


def format_duration(seconds: float) -> str:
    """A rough length of time, in the largest unit that fits: ``3 d``, ``5 h``."""
    for unit in ("y", "w", "d", "h", "m"):
        if seconds >= UNITS[unit] * (2 if unit == "w" else 1):
            return f"{seconds // UNITS[unit]:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def format_taken(seconds: float) -> str:
    """How long something took, in two units at most: ``40 ms``, ``1.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{max(1000 * seconds, 0):.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""Reads every size that a user can write, and writes sizes."""

from __future__ import annotations

import re

from ovtasks.errors import InputError

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
MiB = UNITS["M"]
GiB = UNITS["G"]
LIMIT = 1 << 60
MIN_DISK = 32 * MiB
MIN_RAM = 32 * MiB
EXAMPLES = "write a size as 20G, 10 GiB, 8192M, 1.5G or 2T"

_SIZE = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?[ \t]*(?:([KMGTP])(?:i?B)?|(B))?", re.IGNORECASE | re.ASCII)


def parse_size(value: str | int | float, *, bare: int) -> int:
    """A size in bytes. Units K, M, G, T, P are powers of 1024, with or without ``iB`` or ``B``, in any case.

    A number without a unit counts in ``bare`` bytes. A fraction is rounded down to a sector of 512 bytes.

    :raises InputError: not a size, not above zero, or above 1 EiB; the hint shows examples.
    """
    if isinstance(value, bool):
        raise _bad(value, "is not a size")
    text = str(value).strip()
    if text.startswith("-"):
        raise _bad(value, "is negative")
    found = _SIZE.fullmatch(text)
    if found is None:
        raise _bad(value, "is not a size")
    whole, fraction, unit, in_bytes = found.groups()
    factor = UNITS[unit.upper()] if unit else 1 if in_bytes else bare
    size = int(whole) * factor
    if fraction:
        # integers only: a float would lose bytes of a large disk
        size = int(whole + fraction) * factor // 10 ** len(fraction) // 512 * 512
    if size <= 0:
        raise _bad(value, "is not a size: it must be above zero")
    if size > LIMIT:
        raise _bad(value, "is more than 1 EiB")
    return size


def at_least(size: int, least: int) -> int:
    """The size, checked.

    :raises InputError: it is below ``least``.
    """
    if size < least:
        raise InputError(f"{format_size(size)} is too small: at least {format_size(least)}")
    return size


def format_size(size: int) -> str:
    """The exact text for ``size`` bytes, with the largest unit that divides it: ``20G``, ``1536M``, ``100B``."""
    for unit, factor in reversed(UNITS.items()):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def about(size: int) -> str:
    """A size for people to compare, with three digits at most: ``1.25 GiB``, ``310 MiB``, ``0 MiB``."""
    unit, factor = ("GiB", 1 << 30) if size >= 1000 << 20 else ("MiB", 1 << 20)
    value = size / factor
    digits = 0 if value >= 100 or size == 0 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


def _bad(value: object, problem: str) -> InputError:
    text = repr(value) if isinstance(value, str) else str(value)
    return InputError(f"{text if len(text) <= 60 else text[:57] + '...'} {problem}", hint=EXAMPLES)

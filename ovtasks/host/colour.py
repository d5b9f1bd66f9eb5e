"""Colours for the states of things, on terminals that want them.

``--color`` decides, then the field's variables: NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM=dumb (no-color.org,
force-color.org, bixense.com/clicolors).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO


class ColourMode(StrEnum):
    """The values of ``--color``."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Hue(StrEnum):
    """What a colour means, as the number of ECMA-48's SGR."""

    GOOD = "32"
    STALE = "33"
    BAD = "31"
    DIM = "2"


_STATES = {
    **dict.fromkeys(("fresh", "running"), Hue.GOOD),
    **dict.fromkeys(("stale", "paused", "shutting down"), Hue.STALE),
    **dict.fromkeys(("wrong", "crashed", "unknown"), Hue.BAD),
    **dict.fromkeys(("never", "stopped", "not defined", "not created"), Hue.DIM),
}
"""The states of builds and VMs."""

_mode = ColourMode.AUTO


def set_mode(mode: ColourMode) -> None:
    """Decide for this process, as ``--color`` says."""
    global _mode
    _mode = mode


def wanted(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``stream`` gets colours."""
    if _mode is not ColourMode.AUTO:
        return _mode is ColourMode.ALWAYS
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") != "0" for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def state(word: str, stream: TextIO) -> str:
    """A state of a build or a VM in its colour, if ``stream`` wants it; other words as they are."""
    hue = _STATES.get(word)
    return word if hue is None else painted(word, hue, stream)


def painted(text: str, hue: Hue, stream: TextIO) -> str:
    """``text`` in the colour, if ``stream`` wants it."""
    return f"\x1b[{hue}m{text}\x1b[0m" if wanted(stream) else text

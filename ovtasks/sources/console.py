"""``--console``: a build that shows what its tools say, of a disk whose kernel talks on the serial port."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from ovtasks.values.arch import arch_of
from ovtasks.values.option import Option

CONSOLE = Option("console", bool, False, "show the tools' output; serial console on")
SPEED = 115200  # baud


def console_args(written: Sequence[str]) -> tuple[str, ...]:
    """Words for the kernel command line: its consoles are the screen and the serial port, which programs write to.

    None if ``written``, the words that the entry has, names a console already: then the user has chosen.
    """
    if any(word.startswith("console=") for word in written):
        return ()
    return ("console=tty0", f"console={arch_of(platform.machine()).console},{SPEED}")

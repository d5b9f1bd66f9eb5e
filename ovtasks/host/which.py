"""Where a program is; apart from what runs one, for those who become it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.packages import package_hint


class MissingProgramError(OvError):
    """A program is not installed; the hint names this distribution's package."""

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed", hint=package_hint(program))


def require(program: str) -> Path:
    """The program's path.

    :raises MissingProgramError: it is neither in PATH nor in ``/usr/sbin`` or ``/sbin``.
    """
    found = which(program)
    if found is None:
        raise MissingProgramError(program)
    return found


def which(program: str) -> Path | None:
    """The program's path, or None. Also looks in system folders that an ordinary user's PATH leaves out."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    return Path(found) if found else None

"""Where the user's settings are said: their file, and the variables. Costs no import, for paths that must be fast."""

from __future__ import annotations

import os
from pathlib import Path

from ovtasks.host.paths import config_home

VM_VARIABLES = tuple(
    f"OV_VM_{name}" for name in ("BACKEND", "ACCEL", "RAM", "CPUS", "DISK_SIZE", "ROOTFS", "TRANSPORT")
)
"""The variables of the settings ``vm.*``."""


def settings_file() -> Path:
    """``settings.yml``; it need not exist."""
    return config_home() / "settings.yml"


def anything_said() -> bool:
    """Whether there is a file of settings, or a variable."""
    return any(map(os.environ.get, VM_VARIABLES)) or os.path.lexists(settings_file())

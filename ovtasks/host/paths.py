"""Our folders, by the XDG base directory specification, which ignores a variable with a relative path."""

from __future__ import annotations

import os
from pathlib import Path

DOMAIN_PREFIX = "ov-"
"""The beginning of every instance's name, and so of its folder and its domain."""
SUN_PATH = 108
"""unix(7): a socket's path with its ending zero byte."""


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default


def cache_home() -> Path:
    """``$XDG_CACHE_HOME/ov``: may be emptied at any time."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "ov"


def image_store() -> Path:
    """Base images by sha256, shared by all projects."""
    return cache_home() / "images"


def data_home() -> Path:
    """``$XDG_DATA_HOME/ov``: what must not be lost."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "ov"


def config_home() -> Path:
    """``$XDG_CONFIG_HOME/ov``: settings."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "ov"


def instance_directory(domain: str) -> Path:
    """The directory of one instance; ``domain`` is ``ov-<vm>`` or ``ov-<vm>-<instance>``."""
    return data_home() / "vm" / domain


DEFAULTS = tuple(f"OV_VM_{name}" for name in ("RAM", "CPUS", "DISK_SIZE", "ROOT_SIZE", "ROOTFS", "TRANSPORT"))
"""The variables of the settings that stand for what a VM's entry does not say."""
VM_VARIABLES = ("OV_VM_BACKEND", "OV_VM_ACCEL", *DEFAULTS)
"""The variables of the settings ``vm.*``."""


def settings_file() -> Path:
    """``settings.yml``; it need not exist."""
    return config_home() / "settings.yml"


def anything_said() -> bool:
    """Whether there is a file of settings, or a variable of :data:`DEFAULTS`."""
    return any(map(os.environ.get, DEFAULTS)) or os.path.lexists(settings_file())

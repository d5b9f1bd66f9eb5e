"""The shell functions of a package manager."""

from __future__ import annotations

from ovtasks.layers.kinds.functions import functions, with_functions
from ovtasks.layers.operation import Operation

_FILES = {"dnf": ("rpm", "dnf"), "zypper": ("rpm", "zypper")}


def library(manager: str, repositories: bool = False) -> str:
    """The functions without their comments: of packages, and of repositories if these are wanted."""
    names = [f"packages/{name}.sh" for name in ("common", *_FILES.get(manager, (manager,)))]
    if repositories:
        own = "ini" if manager in _FILES else manager
        names += ["repositories/common.sh", f"repositories/{own}.sh"]
    return functions(*names)


def with_library(operation: Operation, manager: str, repositories: bool = False) -> Operation:
    """The operation with its functions."""
    return with_functions(operation, library(manager, repositories))

"""Which files have the shell functions of a package manager."""

from __future__ import annotations

from ovtasks.layers.kinds.functions import functions, with_functions
from ovtasks.layers.operation import Operation

_SHARED = {"dnf": "rpm", "zypper": "rpm"}


def with_scripts(operation: Operation, manager: str, repositories: bool = False) -> Operation:
    """The operation with the functions that it calls: of packages, and of ``repositories`` if these are wanted."""
    shared = _SHARED.get(manager)
    names = ["packages/common", *([f"packages/{shared}"] if shared else []), f"packages/{manager}"]
    if repositories:
        names += ["repositories/common", f"repositories/{'ini' if shared else manager}"]
    return with_functions(operation, functions(*(f"{name}.sh" for name in names)))

"""The shell functions of a package manager, as a guest gets them. They lie in its operation's state, for undo."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import cache
from importlib.resources import files

from ovtasks.layers.operation import Operation

_FILES = {"dnf": ("rpm", "dnf"), "zypper": ("rpm", "zypper")}
_PLACE = '"$STATE/library.sh"'
_MARK = ". " + _PLACE


@cache
def library(manager: str, repositories: bool = False) -> str:
    """The functions without their comments: of packages, and of repositories if these are wanted."""
    names = [f"packages/{name}" for name in ("common", *_FILES.get(manager, (manager,)))]
    if repositories:
        own = "ini" if manager in _FILES else manager
        names += ["repositories/common", f"repositories/{own}"]
    text = "\n".join((files("ovtasks.layers.kinds") / f"{name}.sh").read_text(encoding="utf-8") for name in names)
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")) + "\n"


def call(function: str, *arguments: str, **variables: str) -> str:
    """A fragment that sets ``variables`` and calls a function of the library."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in variables.items() if value]
    return "\n".join((_MARK, *lines, shlex.join((function, *arguments)))) + "\n"


def with_library(operation: Operation, manager: str, repositories: bool = False) -> Operation:
    """The operation with its functions: ``save`` keeps them in the guest, the other fragments read them there.

    A new version of the functions does not make an operation another one, so it is not undone and done again.
    """
    text = library(manager, repositories)
    keep = f"cat >{_PLACE} <<'_LIBRARY_'\n{text}_LIBRARY_\n"
    return replace(
        operation,
        save=keep + operation.save,
        look=f"[ -e {_PLACE} ] || exit 1\n{operation.look}",
        in_image=text + operation.in_image.removeprefix(_MARK + "\n"),
    )

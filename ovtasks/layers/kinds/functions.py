"""Shell functions of a kind, as a guest gets them: they lie in an operation's state, for its undo too."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files

from ovtasks.layers.fragments import quoted
from ovtasks.layers.operation import Operation

_PLACE = '"$STATE/library.sh"'
_READ = f". {_PLACE}\n"


@cache
def functions(*names: str) -> str:
    """The functions in these files of the folder of kinds, without comments."""
    text = "\n".join((files("ovtasks.layers.kinds") / name).read_text(encoding="utf-8") for name in names)
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")) + "\n"


def call(function: str, *words: str, **variables: str) -> str:
    """A fragment that sets those of ``variables`` that are not empty, and calls one of the functions."""
    lines = [f"{name}={quoted(value)}" for name, value in variables.items() if value]
    return _READ + "\n".join((*lines, " ".join((function, *map(quoted, words))))) + "\n"


def with_functions(operation: Operation, text: str) -> Operation:
    """The operation with its functions: ``save`` keeps them in the guest, the other fragments read them there.

    Done when it is completed, so other versions of the functions do not make it another operation.
    """
    keep = f"cat >{_PLACE} <<'_LIBRARY_'\n{text}_LIBRARY_\n"
    image = operation.in_image or operation.do
    return replace(
        operation,
        save=keep + operation.save,
        look=f"[ -e {_PLACE} ] || exit 1\n{operation.look}",
        in_image=text + image.replace(_READ, ""),
    )

"""Which of the texts that a user wrote as XML libvirt's schema does not take.

libvirt itself only says that the whole domain is not valid. Each text alone, in the domain without the others, tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ovtasks.errors import InputError, OvError
from ovtasks.host.run import run, which
from ovtasks.machine.machine import Machine, Snippet

PROGRAM = "virt-xml-validate"
_INVALID = "against schema"
HINT = 'libvirt\'s documentation, "Domain XML format", says which elements and attributes there are'


def blamed(error: OvError, machine: Machine, render: Callable[[Machine], str]) -> OvError:
    """The error of a define that failed, at the text that is to blame, if one is."""
    if _INVALID not in error.message or not machine.snippets:
        return error
    if which(PROGRAM) is None:
        names = ", ".join(snippet.name for snippet in machine.snippets)
        error.hint = f"look at {names}; {HINT}"
        return error
    for snippet in machine.snippets:
        if not _valid(render(replace(machine, snippets=(snippet,)))):
            return _at(snippet)
    return error


def _valid(text: str) -> bool:
    return run([PROGRAM, "-", "domain"], stdin=text.encode(), check=False, timeout=60).returncode == 0


def _at(snippet: Snippet) -> InputError:
    message = f"{snippet.name}: libvirt's schema has no such thing in a domain"
    return InputError(message, hint=HINT, field=snippet.field, where=snippet.where)

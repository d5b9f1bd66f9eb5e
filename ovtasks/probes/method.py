"""A method of ``ov eval libvirt`` and ``ov eval spice``, which a check of that verb names too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ovtasks.instance.record import Record
from ovtasks.values.jsonvalue import Json


@dataclass(frozen=True)
class Argument:
    """An argument of a method; ``name`` begins with ``--`` for an option. ``of`` is the type of its value.

    ``key`` is what a check calls it, None if a check cannot give it. ``many``: all words that are left.
    """

    name: str
    help: str
    default: object = None
    of: Callable[[str], object] = str
    key: str | None = None
    needed: bool = False
    many: bool = False

    @property
    def field(self) -> str:
        """Its name among the values that a method gets."""
        return self.name.lstrip("-").replace("-", "_")


MethodValues = Mapping[str, object]
"""The values of a method's arguments, by :attr:`Argument.field`. All are there."""


@dataclass(frozen=True)
class Said:
    """What a method found: bytes for stdout, JSON, or both empty when it only did something. ``code``: exit status."""

    out: bytes = b""
    data: Json = None
    errors: bytes = b""
    code: int = 0
    note: str = ""


MethodRun = Callable[[Record, MethodValues], Said | Iterator[Said]]


@dataclass(frozen=True)
class Method:
    """``name`` has a slash for a group (``guest/ping``). ``run`` returns what it found, or yields it as it comes.

    ``checked``: a check may name it. ``picture``: what it finds is a PNG, for a file. ``rest``: it takes the words
    behind ``--``.
    """

    name: str
    help: str
    run: MethodRun
    arguments: tuple[Argument, ...] = ()
    checked: bool = True
    picture: bool = False
    rest: bool = False

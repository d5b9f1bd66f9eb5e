"""A method of ``ov eval libvirt`` and ``ov eval spice``, which a check of that verb names too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ovtasks.errors import InputError
from ovtasks.instance.record import Record
from ovtasks.values.durations import parse_duration
from ovtasks.values.jsonvalue import Json

_MOST = 1e6
"""Seconds, some eleven days."""
_MOST_WHOLE = (1 << 31) - 1


def duration(text: str) -> float:
    """A length of time in seconds: ``5``, ``0.5``, ``5s``, ``2m``.

    :raises InputError: it is none.
    """
    try:
        found = float(text.strip().lower().removesuffix("s"))
    except ValueError:
        found = parse_duration(text)
    if not 0 <= found <= _MOST:
        raise InputError(f"{text!r} is not a number of seconds", hint="as in 5, 0.5, 5s or 2m")
    return found


def whole(text: str) -> int:
    """A number from 0.

    :raises InputError: it is none.
    """
    if not text.isdecimal() or int(text) > _MOST_WHOLE:
        raise InputError(f"{text!r} is not a whole number", hint=f"0 to {_MOST_WHOLE}")
    return int(text)


def size(text: str) -> int:
    """A number of bytes.

    :raises InputError: it is none.
    """
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise InputError(f"{text!r} is not a number of bytes", hint="as in 0 or 1048576")
    return int(text)


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

    def read(self, text: str) -> object:
        """The value that ``text`` is.

        :raises InputError: it is none.
        """
        try:
            return self.of(text)
        except InputError as e:
            raise InputError(f"{self.name}: {e.message}", hint=e.hint) from None


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

"""An option of the command line, declared in one row: name, meaning of its text, default, help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ovtasks.errors import InputError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Option(Generic[T_co]):
    """``--name``. ``parse`` makes the value of what was typed, and raises InputError or ValueError for what is wrong;
    ``bool`` makes a switch, which takes no text. ``default`` is the value when nothing was said. ``words`` are texts
    that shells offer.
    """

    name: str
    parse: Callable[[str], T_co]
    default: T_co
    help: str
    words: tuple[str, ...] = ()

    @property
    def dest(self) -> str:
        """The name as a parser of command lines keeps it: ``root_size``."""
        return self.name.replace("-", "_")

    @property
    def switch(self) -> bool:
        """Whether it stands alone, without a text behind it."""
        return self.parse is bool

    def read(self, text: object) -> T_co:
        """The value of what was typed.

        :raises InputError: it is none; the message begins with the option.
        """
        try:
            return self.parse(str(text))
        except InputError as e:
            raise InputError(f"--{self.name}: {e.message}", hint=e.hint) from None
        except ValueError:
            raise InputError(f"--{self.name}: {str(text)!r} is not valid", hint=self.help) from None

"""How long work reports its progress."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """What a worker reports to; the command line shows it."""

    def note(self, text: str) -> None:
        """Show one line, even without a terminal."""

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Report ``done`` of ``total`` (None if unknown) bytes, or of percent with unit ``%``."""


@runtime_checkable
class LiveLine(Protocol):
    """An optional part of a :class:`Progress`: a last line of the terminal that is replaced."""

    def live(self, text: str) -> bool:
        """Show ``text`` in place of the last live line; empty: remove it. Returns whether there is a terminal."""


@runtime_checkable
class ProgramView(Protocol):
    """An optional part of a :class:`Progress`: shows which programs run and what they say."""

    def said(self, line: str) -> None:
        """A program said this line."""

    def program(self, text: str, status: int | None, seconds: float) -> None:
        """A program begins: its command line is ``text``, and ``seconds`` is 0. Or it ended with ``status``."""


class SilentProgress:
    """A :class:`Progress` that shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Show nothing."""

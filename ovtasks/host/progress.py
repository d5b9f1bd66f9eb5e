"""Where long work says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told by the worker, shown by the command line."""

    def note(self, text: str) -> None:
        """One line that the user should see even without a terminal."""

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """``done`` of ``total`` (None: not known) bytes, or percent with unit ``%``."""


class SilentProgress:
    """Says nothing."""

    def note(self, text: str) -> None:
        pass

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        pass

"""Who hears what the programs say that this thread runs: the log of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Protocol


class ProgramListener(Protocol):
    """Is told of every program that :mod:`ovtasks.host.run` runs, in the order in which things happen."""

    def begins(self, words: Sequence[str]) -> None:
        """A program is about to start; ``words`` are its command line."""

    def stream(self) -> Callable[[bytes], None]:
        """What takes the bytes of one more of its streams, as they come."""

    def ends(self, status: int | None) -> None:
        """It has ended; ``status`` is None if it could not be started."""


_listener: ContextVar[ProgramListener | None] = ContextVar("listener", default=None)


def listener() -> ProgramListener | None:
    """Who listens in this thread."""
    return _listener.get()


@contextlib.contextmanager
def heard_by(one: ProgramListener) -> Iterator[None]:
    """Tell ``one`` of the programs that this thread runs inside the block."""
    token = _listener.set(one)
    try:
        yield
    finally:
        _listener.reset(token)

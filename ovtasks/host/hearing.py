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


_LONGEST = 1 << 16
_listener: ContextVar[ProgramListener | None] = ContextVar("listener", default=None)


def listener() -> ProgramListener | None:
    """Who listens in this thread."""
    return _listener.get()


def listen(one: ProgramListener) -> None:
    """Tell ``one`` of the programs that this thread runs from now on."""
    _listener.set(one)


@contextlib.contextmanager
def heard_by(one: ProgramListener) -> Iterator[None]:
    """Tell ``one`` of the programs that this thread runs inside the block."""
    token = _listener.set(one)
    try:
        yield
    finally:
        _listener.reset(token)


class LineCutter:
    """Cuts bytes into lines. Of a line that is written again and again behind carriage returns the last one counts."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take the bytes that come next."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LONGEST:
            self._rest = self._rest[self._rest.rfind(b"\r", 0, -1) + 1 :][-_LONGEST:]

    def end(self) -> None:
        """Tell the last line, which may have no end."""
        if self._rest:
            self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        self._tell(next(filter(None, reversed(line.split(b"\r"))), b"").decode(errors="replace"))

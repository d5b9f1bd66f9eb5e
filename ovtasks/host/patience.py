"""Long waits tell what they wait for: one place that says so, for every wait that is not a step of a build."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

FIRST, AGAIN = 2.0, 10.0
"""Seconds until something is said, and then between two lines."""

_say: Callable[[str], None] | None = None
_told = ContextVar("told", default=False)


def tell(say: Callable[[str], None] | None) -> None:
    """Let ``say`` print the lines from now on; None: nobody wants them."""
    global _say
    _say = say


@contextlib.contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Say ``waiting for WHAT`` if the block takes longer than two seconds, then now and then.

    Inside another such block, and where something else shows what goes on, nothing is said.
    """
    if _say is None or _told.get():
        yield
        return
    over = threading.Event()
    threading.Thread(target=_speak, args=(_say, what, over), daemon=True).start()
    with shown():
        try:
            yield
        finally:
            over.set()


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """In the block, something else shows what this thread waits for."""
    before = _told.set(True)
    try:
        yield
    finally:
        _told.reset(before)


def named(words: Sequence[str]) -> str:
    """A program in a few words, without what it was given: ``podman pull``, ``gpg``."""
    name = Path(words[0]).name
    return f"{name} {words[1]}" if len(words) > 1 and words[1].isalpha() else name


def _speak(say: Callable[[str], None], what: str, over: threading.Event) -> None:
    began, pause, line = time.monotonic(), FIRST, f"waiting for {what}"
    while not over.wait(pause):
        with contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more
            say(f"{line} [{time.monotonic() - began:.0f} s]" if pause == AGAIN else line)
        pause, line = AGAIN, f"still waiting for {what}"

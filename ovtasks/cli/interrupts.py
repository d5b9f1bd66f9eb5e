"""Ctrl-C: a KeyboardInterrupt while a command runs, a silent end before and after."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt inside, even if Python turns it into another error.

    Python swallows a KeyboardInterrupt in a callback, and turns one in the middle of a class definition into another
    error, so an interrupted import would look like damage. Afterwards SIGINT does what it did before. For ``ov`` it
    ends the process silently.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler in (signal.SIG_IGN, None):  # None: a handler that Python did not set
        yield
        return
    came = False

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    before, sys.unraisablehook = sys.unraisablehook, _quiet
    try:
        yield
    except (ImportError, RuntimeError, AttributeError, OSError):
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = before


def _quiet(unraisable: UnraisableHookArgs) -> None:
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)

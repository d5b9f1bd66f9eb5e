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
    """SIGINT raises KeyboardInterrupt inside, whatever becomes of it on its way out.

    Python swallows one in a callback, and makes another error of one while a class is made: an import that is
    interrupted looks like damage then. Outside, SIGINT does what it did before: for ``ov`` itself, which has told
    Python so, it ends the process without a word.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler in (signal.SIG_IGN, None):  # None: not one of Python's
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

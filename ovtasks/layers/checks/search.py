"""Searches a text with a user's pattern, in a limited time: ``(a+)+$`` may take longer than anybody waits."""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType
from typing import NoReturn

SECONDS = 2.0
"""Seconds of processor time for one pattern. A load of the machine does not count."""


class TooSlowError(Exception):
    """The pattern takes too long on this text."""


def search(pattern: str, text: str) -> re.Match[str] | None:
    """Where ``pattern`` is found in ``text`` first.

    The limit is a signal, which only the main thread can have; elsewhere there is none.

    :raises TooSlowError: it takes more than :data:`SECONDS`.
    """
    if threading.current_thread() is not threading.main_thread():
        return re.search(pattern, text)

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return re.search(pattern, text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

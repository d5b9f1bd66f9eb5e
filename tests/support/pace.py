"""How fast this machine is at this moment: what a test's limits on time are multiples of, when a neighbour's load or a
slower processor must not fail it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds; other machines may be booting."""

_WAITS = re.compile(r"^(?:still )?waiting for .*\n", re.MULTILINE)


def without_waits(stderr: str) -> str:
    """What a program said, less the lines about waits of over two seconds, which a busy machine adds."""
    return _WAITS.sub("", stderr)


def pace() -> float:
    """Seconds of processor time that a fixed piece of plain Python takes; about 9 ms on a quiet machine of 2025."""
    return min(_once() for _ in range(3))


def _once() -> float:
    began = time.process_time()
    words: dict[str, int] = {}
    for number in range(30_000):
        word = str(number)
        words[word] = words.get(word[1:], 0) + len(word)
    json.loads(json.dumps(words))
    return time.process_time() - began


def until(what: str, probe: Callable[[], object]) -> None:
    """Poll ``probe`` until it is true."""
    end = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < end, what
        time.sleep(0.02)

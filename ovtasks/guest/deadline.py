"""Time limits of a wait: one clock, more time for slow guests, growing pauses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """A source of time for waits; tests bring their own."""

    def monotonic(self) -> float:
        """The time, in seconds since some fixed moment."""

    def sleep(self, seconds: float, /) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Deadline:
    """A time limit.

    ``start`` and ``end`` are times of ``clock``; ``factor`` is how much slower the guest runs than with KVM.
    """

    start: float
    end: float
    factor: float = 1.0
    clock: Clock = SYSTEM_CLOCK

    @classmethod
    def after(cls, seconds: float, *, factor: float = 1.0, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """The deadline that is ``seconds`` times ``factor`` from now."""
        now = clock.monotonic()
        return cls(now, now + seconds * factor, factor, clock)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.start

    @property
    def remaining(self) -> float:
        """Seconds until the end, never negative."""
        return max(0.0, self.end - self.clock.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time remains."""
        return self.remaining == 0.0

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        self.clock.sleep(min(seconds, self.remaining))


def growing(first: float = 0.2, longest: float = 2.0, growth: float = 1.5) -> Iterator[float]:
    """Endless pauses for polling, in seconds. They are always the same, so that a wait is predictable."""
    pause = first
    while True:
        yield pause
        pause = min(longest, pause * growth)

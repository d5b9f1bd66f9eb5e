"""What outlives a build beside its image: which recipe the image is of, and how long each part took.

The second checkout of a machine takes the image from the store; the next build knows when it will be done.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.graph.display import Cancelled
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import try_load_state
from ovtasks.images.store import Store
from ovtasks.sources.bootstrap.recipe import Recipe
from ovtasks.values.jsonvalue import Json, digest, state_text

TICK = 1.0
"""Seconds between two looks at the clock."""
Timeline = Sequence[tuple[float, float]]
"""Percent of a build's own count, and the seconds after which it was reached; both grow."""


@dataclass(frozen=True, slots=True)
class Image:
    """A finished base image in the store; ``virtual_size`` in bytes."""

    sha256: str
    virtual_size: int
    packages: tuple[str, ...]


def find(recipe: Recipe, store: Store) -> Image | None:
    """The image that was made by this recipe, if it is still in the store, and intact."""
    noted = try_load_state(_record(recipe, store)) or {}
    sha256, size, packages = (noted.get(name) for name in ("sha256", "virtual_size", "packages"))
    if not (isinstance(sha256, str) and isinstance(size, int) and isinstance(packages, list)):
        return None
    if noted.get("made_by") != digest(recipe.inputs) or not store.sound(sha256):
        return None
    return Image(sha256, size, tuple(str(line) for line in packages))


def keep(recipe: Recipe, store: Store, made: Image) -> None:
    """Note that ``made`` is the image of ``recipe``. Where that cannot be written, the next checkout builds anew."""
    facts: dict[str, Json] = {
        "made_by": digest(recipe.inputs),
        "sha256": made.sha256,
        "virtual_size": made.virtual_size,
        "packages": list(made.packages),
    }
    _write(_record(recipe, store), facts)


@contextlib.contextmanager
def timed(progress: Progress, store: Store) -> Iterator[Progress]:
    """A progress whose percents grow evenly, as the times of the last build tell; a build that ends is noted."""
    file = store.by_recipe("times")
    paced = _Paced(progress, _timeline(file))
    ended = threading.Event()
    ticker = threading.Thread(target=paced.follow_the_clock, args=(ended,), daemon=True)
    ticker.start()
    try:
        yield paced
    finally:
        ended.set()
        ticker.join()
    _write(file, {"timeline": [[percent, round(seconds, 2)] for percent, seconds in paced.seen]})


class _Paced:
    """Turns a build's own percents into parts of the time that the last build took."""

    def __init__(self, progress: Progress, last: Timeline) -> None:
        self.last = last
        self.seen: list[tuple[float, float]] = [(0, 0)]
        self._progress = progress
        self._began = time.monotonic()
        self._shown = 0
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        self._progress.note(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        with self._lock:
            if done > self.seen[-1][0]:
                self.seen.append((done, time.monotonic() - self._began))
            self._show(100 * part_of_time(self.last, done) if self.last else done)

    def follow_the_clock(self, ended: threading.Event) -> None:
        """Between two reports: as far as the last build was by now, but not beyond what comes next."""
        while self.last and not ended.wait(TICK):
            with self._lock, contextlib.suppress(Cancelled):  # the step itself ends by its own report
                coming = min((percent for percent, _ in self.last if percent > self.seen[-1][0]), default=100)
                now = (time.monotonic() - self._began) / self.last[-1][1]
                self._show(100 * min(now, part_of_time(self.last, coming)) - 1)

    def _show(self, percent: float) -> None:
        if int(percent) > self._shown:
            self._shown = int(percent)
            self._progress.update(self._shown, 100, "%")


def part_of_time(timeline: Timeline, percent: float) -> float:
    """Which part of the build's time had passed when ``percent`` was reached, from 0 to 1."""
    whole = timeline[-1][1]
    before = (0.0, 0.0)
    for point in timeline:
        if point[0] >= percent:
            span = point[0] - before[0]
            inside = (percent - before[0]) / span if span else 1.0
            return (before[1] + inside * (point[1] - before[1])) / whole
        before = point
    return 1.0


def seconds_last_time(store: Store) -> float | None:
    """How long the last build took."""
    timeline = _timeline(store.by_recipe("times"))
    return timeline[-1][1] if timeline else None


def _timeline(file: Path) -> Timeline:
    noted = (try_load_state(file) or {}).get("timeline")
    points = [point for point in noted if isinstance(point, list)] if isinstance(noted, list) else []
    pairs = [
        (float(point[0]), float(point[1]))
        for point in points
        if len(point) == 2 and all(isinstance(number, int | float) for number in point)
    ]
    grows = all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(pairs))
    return pairs if pairs and grows and pairs[-1][1] > 0 else []


def _record(recipe: Recipe, store: Store) -> Path:
    return store.by_recipe(recipe.key)


def _write(file: Path, facts: dict[str, Json]) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, state_text(facts), mode=0o600)

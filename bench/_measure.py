"""Whole processes, timed in turns: wall time and peak memory as the operating system accounts them."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.processes import Process, talk
from tests.support.programs import python

SCRIPTS = Path(sys.executable).parent
PYTHON_PASS = [sys.executable, "-c", "pass"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Wall and processor time in milliseconds of each run of one command, and its peak memory in MiB."""

    name: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    peak: float

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    def ratio(self, other: Figure) -> float:
        """Median of the ratios run by run: both were measured in turns, so slow moments cancel out."""
        return statistics.median(a / b for a, b in zip(self.wall, other.wall, strict=True))

    def alone(self, idle: Figure) -> float:
        """Median wall time, had nobody else used the machine: ``idle`` waits for nothing but its turn on a processor,
        and shows in the same slow moments by how much all wall times are longer."""
        waits = (max(1.0, wall / cpu) for wall, cpu in zip(idle.wall, idle.cpu, strict=True))
        turns = zip(self.wall, self.cpu, waits, strict=True)
        return statistics.median(max(cpu, wall / wait) for wall, cpu, wait in turns)


def once(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, float, float]:
    """Run one process to its end; wall and processor milliseconds, and peak MiB."""
    starter = _starter()
    assert starter.stdin is not None and starter.stdout is not None
    starter.stdin.write(json.dumps([list(argv), str(cwd), dict(env)]) + "\n")
    starter.stdin.flush()
    status, wall, cpu, peak = json.loads(starter.stdout.readline())
    if status != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {status}")
    return wall, cpu, peak


@cache
def _starter() -> Process:
    """It ends when we do, with its input."""
    return talk(sys.executable, "-I", "-S", Path(__file__).with_name("_starter.py"))


def in_turns(
    commands: Mapping[str, Sequence[str]],
    cwd: Path,
    *,
    runs: int = 21,
    env: Mapping[str, str] | None = None,
    before: Callable[[str], None] | None = None,
) -> dict[str, Figure]:
    """Run every command ``runs`` times, A B C A B C …, after one warm-up round."""
    environment = {**os.environ, **(env or {})}
    walls: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, float] = {}
    for turn in range(runs + 1):
        for name, argv in commands.items():
            if before is not None:
                before(name)
            wall, cpu, peak = once(argv, cwd, environment)
            if turn:
                walls[name].append(wall)
                cpus[name].append(cpu)
                peaks[name] = peak
    return {name: Figure(name, tuple(walls[name]), tuple(cpus[name]), peaks[name]) for name in commands}


def table(title: str, figures: Mapping[str, Figure], base: str) -> None:
    """Print medians, and ratios to ``base``."""
    print(f"\n{title}")
    for figure in figures.values():
        ratio = figure.ratio(figures[base])
        print(f"  {figure.name:<28} {figure.median:9.1f} ms  {ratio:7.2f} x {base}  peak {figure.peak:6.1f} MiB")


def compile_package() -> None:
    """As an installed package is: an editable checkout under PYTHONDONTWRITEBYTECODE is compiled at each start."""
    package = Path(__file__).parent.parent / "ovtasks"
    python("-m", "compileall", "-q", package)


def verdict(limits: Mapping[str, tuple[float, float]]) -> int:
    """Print each (measured, limit) pair; 1 when one is over."""
    print()
    for name, (measured, limit) in limits.items():
        print(f"  {'ok  ' if measured <= limit else 'OVER'} {name}: {measured:.2f} (limit {limit:g})")
    return int(any(measured > limit for measured, limit in limits.values()))

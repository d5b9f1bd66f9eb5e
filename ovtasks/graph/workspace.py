"""What a running step may use: names for half-made files, the facts of the steps before it, progress."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ovtasks.graph.step import Step
from ovtasks.host.files import fsync_directory
from ovtasks.host.progress import Progress
from ovtasks.jsonvalue import Json

PART = ".part"


class Needed(Protocol):
    """The receipt of a step before, as far as a later step may look at it."""

    @property
    def digest(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, Json]: ...


class Workspace:
    """One run of one step.

    A target appears under its final name by :meth:`commit` only; everything else under :meth:`part` is removed when
    the step ends, and by the next run when this one is killed.
    """

    def __init__(self, step: Step, needs: Mapping[str, Needed], progress: Progress) -> None:
        self.step = step
        self.needs = needs
        self.progress = progress
        self.digests: dict[Path, str] = {}
        self.facts: dict[str, Json] = {}
        self.outputs: list[Path] = list(step.targets)

    @staticmethod
    def part(target: Path) -> Path:
        """The name under which ``target`` is made: same directory, so that the rename is atomic."""
        return target.with_name(f".{target.name}{PART}")

    def commit(self, target: Path, *, digest: str | None = None) -> None:
        """Give the finished ``part(target)`` its final name, durably. ``digest``: its content's identity, if known."""
        part = self.part(target)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        fsync_directory(target.parent)
        if digest is not None:
            self.digests[target] = digest

    def also(self, path: Path, *, digest: str | None = None) -> None:
        """Another output, whose name was not known before: the receipt watches it like a target."""
        if path not in self.outputs:
            self.outputs.append(path)
        if digest is not None:
            self.digests[path] = digest

    def fact(self, key: str, value: Json) -> None:
        """Something later steps or ``ov why`` want to know; it does not decide whether anything is fresh."""
        self.facts[key] = value

"""What a running step may use: names for half-made files, the facts of the steps before it, progress."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ovtasks.graph.content import secret_digest_of
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import Step
from ovtasks.host.files import create, fsync_directory, move
from ovtasks.host.progress import Progress
from ovtasks.jsonvalue import Json


class Workspace:
    """One run of one step.

    A target appears under its final name by :meth:`commit` only; what stands under :meth:`part` is removed when the
    step ends, and by the next run when this one is killed.
    """

    def __init__(self, step: Step, needs: Mapping[str, Receipt], progress: Progress) -> None:
        self.step = step
        self.needs = needs
        self.progress = progress
        self.facts: dict[str, Json] = {}
        self.identity: str | None = None
        self.contents: dict[Path, str] = {}
        self.outputs: list[Path] = list(step.targets)

    @staticmethod
    def part(target: Path) -> Path:
        """The name under which ``target`` is made: same directory, so that the rename is atomic."""
        return target.with_name(f".{target.name}.part")

    def write(self, target: Path, content: bytes | str, *, secret: bool = False) -> None:
        """Make ``part(target)`` of what is at hand; a ``secret`` file is its owner's alone."""
        with create(self.part(target), mode=0o600 if secret else 0o666) as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def commit(self, target: Path, *, digest: str | None = None, secret: bool = False) -> None:
        """Give the finished ``part(target)`` its final name, durably, and read-only: VMs stand on it by hard links.

        ``digest`` is what later steps go by (early cut-off): by default it is taken from the outputs' content. A
        ``secret`` file is its owner's alone, and its digest slow to guess.
        """
        part = self.part(target)
        with part.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            os.fchmod(file.fileno(), 0o600 if secret else mode & 0o444)
            os.fsync(file.fileno())
        move(part, target)
        fsync_directory(target.parent)
        if secret:
            self.contents[target] = secret_digest_of(target, self.step.name)
        if digest is not None:
            self.identity = digest

    def also(self, path: Path, *, digest: str | None = None) -> None:
        """Another output, whose name was not known before; ``digest`` is its content's ``sha256:<hex>``."""
        if path not in self.outputs:
            self.outputs.append(path)
        if digest is not None:
            self.contents[path] = digest

    def fact(self, key: str, value: Json) -> None:
        """Something later steps or ``ov why`` want to know; it does not decide whether anything is fresh."""
        self.facts[key] = value

"""Build steps.

A step is a value: what decides its result, what it needs, what it makes. A workspace is one run of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from ovtasks.graph.content import secret_digest_of
from ovtasks.graph.receipt import Receipt
from ovtasks.host.files import create, fsync_directory, move, part_name
from ovtasks.host.progress import Progress
from ovtasks.values.hidden import Input
from ovtasks.values.jsonvalue import Json
from ovtasks.values.option import Option

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain.

    ``inputs`` hold everything that decides the result, and nothing else: the part of the spec that the step reads,
    the versions of tools that matter, a ``recipe`` number that is raised by hand. A
    :class:`~ovtasks.values.hidden.Hidden` value is compared and never shown. No path of the project is among them,
    so that the project can be moved. When the step is checked or run, the output digests of the steps in ``needs``
    join them. ``reads`` are files that were read to compute the inputs (a public key, a tool's program file); the
    fast path watches them.

    ``name`` is ``<verb>:<vm>``, or ``<verb>:@<content>`` for a step that several VMs share. ``makes`` names the result
    in the user's words ("base image"). The results of ``shared`` steps outlive one VM's artifacts (a base image, a key
    pair), so ``doit clean`` leaves them alone. ``refresh`` makes a fresh step run once, with that text as the reason.
    ``tidy`` removes what the step keeps beside its targets (half-made disks) when its results are cleaned. ``labels``
    are words for inputs (by their path, ``checksum.url``) and needed steps (by their verb) in reasons to run, for keys
    that say little.
    """

    name: str
    inputs: Mapping[str, Input]
    targets: tuple[Path, ...]
    run: Callable[[Workspace], None]
    title: str
    needs: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    makes: str = ""
    shared: bool = False
    refresh: str | None = None
    tidy: Callable[[], None] | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def verb(self) -> str:
        """``disk`` of ``disk:arch``."""
        return self.name.partition(":")[0]

    @property
    def receipt(self) -> Path:
        """The file of the step's receipt, beside its first target."""
        first = self.targets[0]
        return first.with_name(first.name + ".receipt.json")

    @property
    def marker(self) -> Path:
        """The file that replaces the receipt while the step runs. A killed run leaves it."""
        first = self.targets[0]
        return first.with_name(f".{first.name}.running")


class Workspace:
    """One run of one step.

    A target gets its final name only by :meth:`commit`. What is left under the name :meth:`part` is removed when the
    step ends; if this run is killed, the next one does that.
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
        """The name under which ``target`` is made: in the same folder, so that the rename is atomic."""
        return target.with_name(part_name(target.name))

    def write(self, target: Path, content: bytes | str, *, secret: bool = False) -> None:
        """Write ``content`` to ``part(target)``. A ``secret`` file is readable by its owner alone."""
        with create(self.part(target), mode=0o600 if secret else 0o666) as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def commit(self, target: Path, *, digest: str | None = None, secret: bool = False) -> None:
        """Give the finished ``part(target)`` its final name, durably and read-only, since VMs use it by hard links.

        Later steps decide by ``digest`` whether to run; by default it is that of the outputs' content. A ``secret``
        file is readable by its owner alone, and its digest is slow to guess.
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
        """Add an output whose name was not known before. ``digest`` is its content's ``sha256:<hex>``."""
        if path not in self.outputs:
            self.outputs.append(path)
        if digest is not None:
            self.contents[path] = digest

    def fact(self, key: str, value: Json) -> None:
        """Note something for later steps or ``ov why``. It does not decide whether anything is fresh."""
        self.facts[key] = value


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of one VM's build on the command line. They win over ``vms.yml`` and enter the inputs.

    ``size`` is in bytes; ``type`` is ``qcow2`` or ``raw``; ``refresh`` asks again what URLs stand for; ``locked``
    requires that ``ovtasks.lock`` pins every URL. ``more`` holds the given values of options that sources declare, by
    name; a source reads its own with ``options[OPTION]``.
    """

    type: str = "qcow2"
    size: int | None = None
    refresh: bool = False
    locked: bool = False
    more: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __getitem__(self, option: Option[T]) -> T:
        return cast(T, self.more.get(option.name, option.default))


def need_keys(names: Iterable[str]) -> dict[str, str]:
    """The key of each needed step in inputs and reasons: its verb if that is unique, else its name."""
    names = list(names)
    verbs = [name.partition(":")[0] for name in names]
    return {name: verb if verbs.count(verb) == 1 else name for name, verb in zip(names, verbs, strict=True)}

"""A build step is a value: what decides its result, what it needs, what it makes; and what it may use while it runs."""

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

    ``inputs`` hold everything that decides the result and nothing else: the slice of the spec that the step reads,
    the versions of the tools that matter, a hand-bumped ``recipe`` number. A :class:`~.hidden.Hidden` value is
    compared and never shown; no path of the project is among them, so that it can be moved. The output digests of the
    steps named in ``needs`` join them when the step is checked or run. ``reads`` are files that were looked at to
    compute the inputs (a public key, a tool's program file): the fast path watches them.

    ``name`` is ``<verb>:<vm>``, or ``<verb>:@<content>`` for a step that several VMs share; ``makes`` says in the
    user's words what comes out ("base image"). ``shared`` steps make something that outlives one VM's artifacts (a
    base image, a key pair): ``doit clean`` leaves it alone. ``refresh`` makes the step run once although it is
    fresh, with that text as the reason. ``tidy`` removes what the step keeps beside its targets (half-made disks), when
    its results are cleaned. ``labels`` are the words for inputs (by their path, ``checksum.url``) and for
    needed steps (by their verb) in reasons to run, where the key itself says little.
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
        """The step's receipt lies beside its first target."""
        first = self.targets[0]
        return first.with_name(first.name + ".receipt.json")

    @property
    def marker(self) -> Path:
        """Stands in for the receipt while the step runs: what is left of a killed run."""
        first = self.targets[0]
        return first.with_name(f".{first.name}.running")


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
        return target.with_name(part_name(target.name))

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


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line says about one VM's build; it wins over ``vms.yml`` and enters the inputs.

    ``size`` is in bytes; ``type`` is ``qcow2`` or ``raw``; ``refresh`` revalidates "latest" URLs; ``locked`` demands
    that every URL is pinned in ``ovtasks.lock``. ``more`` are the values of options that sources declare, by name, as
    far as they were given; a source asks for its own with ``options[OPTION]``.
    """

    type: str = "qcow2"
    size: int | None = None
    refresh: bool = False
    locked: bool = False
    more: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __getitem__(self, option: Option[T]) -> T:
        return cast(T, self.more.get(option.name, option.default))


def need_keys(names: Iterable[str]) -> dict[str, str]:
    """Under which key each needed step stands in inputs and reasons: its verb, where that is clear without the rest."""
    names = list(names)
    verbs = [name.partition(":")[0] for name in names]
    return {name: verb if verbs.count(verb) == 1 else name for name, verb in zip(names, verbs, strict=True)}

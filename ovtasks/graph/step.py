"""A build step is a value: what decides its result, what it needs, what it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.hidden import Input

if TYPE_CHECKING:
    from ovtasks.graph.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain.

    ``inputs`` hold everything that decides the result and nothing else: the slice of the spec that the step reads,
    the versions of the tools that matter, a hand-bumped ``recipe`` number. A :class:`~ovtasks.hidden.Hidden` value is
    compared and never shown; no path of the project is among them, so that it can be moved. The output digests of the
    steps named in ``needs`` join them when the step is checked or run. ``reads`` are files that were looked at to
    compute the inputs (a public key, a tool's program file): the fast path watches them.

    ``name`` is ``<verb>:<vm>``, or ``<verb>:@<content>`` for a step that several VMs share; ``makes`` says in the
    user's words what comes out ("base image"). ``shared`` steps make something that outlives one VM's artifacts (a
    base image, a key pair): ``doit clean`` leaves it alone. ``refresh`` makes the step run once although it is
    fresh, with that text as the reason. ``tidy`` removes what the step keeps beside its targets (half-made disks), when
    its results are cleaned.
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


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line says about one VM's build; it wins over ``vms.yml`` and enters the inputs.

    ``size`` is in bytes; ``type`` is ``qcow2`` or ``raw``; ``refresh`` revalidates "latest" URLs; ``locked`` demands
    that every URL is pinned in ``ovtasks.lock``. The rest is for sources that name it in their ``options``:
    ``root_size`` in bytes, ``transport`` of the container image, ``console``: what an installer says is shown.
    """

    type: str = "qcow2"
    size: int | None = None
    refresh: bool = False
    locked: bool = False
    root_size: int | None = None
    transport: str | None = None
    console: bool = False


def need_keys(names: Iterable[str]) -> dict[str, str]:
    """Under which key each needed step stands in inputs and reasons: its verb, where that is clear without the rest."""
    names = list(names)
    verbs = [name.partition(":")[0] for name in names]
    return {name: verb if verbs.count(verb) == 1 else name for name, verb in zip(names, verbs, strict=True)}

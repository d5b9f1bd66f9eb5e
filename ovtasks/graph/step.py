"""A build step is a value: what decides its result, what it needs, what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.graph.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain.

    ``inputs`` hold everything that decides the result and nothing else: the slice of the spec that the step reads,
    the versions of the tools that matter, a hand-bumped ``recipe`` number. The output digests of the steps named in
    ``needs`` join them when the step is checked or run. ``reads`` are files that were looked at to compute the
    inputs (a public key, a tool's program file): the fast path watches them.

    ``shared`` steps make something that several VMs or projects use (a base image, a key pair): ``doit clean``
    leaves their targets alone. ``exclusive`` names a machine-wide lock (for example a URL) that the step holds while
    it runs, besides its own. ``refresh`` makes the step stale once, on request, with that text as the reason.
    """

    name: str
    inputs: Mapping[str, Json]
    targets: tuple[Path, ...]
    run: Callable[[Workspace], None]
    title: str
    needs: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    shared: bool = False
    refresh: str | None = None
    group: str = field(default="", compare=False)

    @property
    def receipt(self) -> Path:
        """The step's receipt lies beside its first target."""
        first = self.targets[0]
        return first.with_name(first.name + ".receipt.json")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line says about one VM's build; it wins over ``vms.yml`` and enters the inputs.

    ``size`` is in bytes; ``type`` is ``qcow2`` or ``raw``; ``refresh`` revalidates "latest" URLs; ``locked`` demands
    that every URL is pinned in ``ovtasks.lock``.
    """

    type: str = "qcow2"
    size: int | None = None
    refresh: bool = False
    locked: bool = False

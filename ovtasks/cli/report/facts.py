"""What ``ov report`` shows: gathered here, where files are read and backends asked; the page is made elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks import __version__
from ovtasks.cli.gc import tidy
from ovtasks.cli.show import ssh_place
from ovtasks.cli.stale import stale
from ovtasks.errors import OvError
from ovtasks.graph.chains import Graph, StepState, StepStatus
from ovtasks.graph.last_run import Outcome, RanStep, critical_path, last_run
from ovtasks.graph.step import Step
from ovtasks.host.folders import allocated
from ovtasks.host.paths import image_store
from ovtasks.images.gc import Item, RetentionLimits
from ovtasks.instance.address import reached
from ovtasks.instance.find import every
from ovtasks.instance.record import Record
from ovtasks.instance.status import statuses


@dataclass(frozen=True, slots=True)
class StepFact:
    """A step. ``made`` is when it last ran, in seconds since the epoch, ``took`` how many seconds; None: never.

    ``failed``: the last run tried to make it, in vain. ``users`` counts the VMs that share it.
    """

    name: str
    title: str
    state: StepState
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    made: float | None
    took: float | None
    failed: bool
    users: int


@dataclass(frozen=True, slots=True)
class VmFact:
    """A declared VM. ``steps`` are the names of all steps that it needs, in order; ``size`` is that of its artifacts,
    in bytes on disk. ``problem`` says why it has no steps.
    """

    name: str
    source: str
    steps: tuple[str, ...]
    size: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class InstanceFact:
    """An instance of a VM of this project. ``uptime`` is in seconds, ``memory`` and ``size`` (on disk) in bytes.

    ``stale`` are the reasons why it is older than what ``vms.yml`` says.
    """

    name: str
    vm: str
    backend: str
    state: str
    note: str
    ssh: str
    uptime: float | None
    memory: int | None
    size: int
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything on the page. ``now`` is in seconds since the epoch; ``sizes`` are bytes on disk by what takes them.

    ``ran`` are the steps of the last run, ``critical`` the names of those that decided how long it took. ``kept`` and
    ``free`` are what ``ov gc`` would leave and remove. ``problems`` are what could not be looked at.
    """

    root: Path
    version: str
    now: float
    vms: tuple[VmFact, ...]
    steps: Mapping[str, StepFact]
    instances: tuple[InstanceFact, ...]
    ran: tuple[RanStep, ...]
    critical: tuple[str, ...]
    sizes: Mapping[str, int]
    kept: tuple[Item, ...]
    free: tuple[Item, ...]
    problems: tuple[str, ...]


def gather(graph: Graph) -> ReportFacts:
    """Look at everything. Nothing is built, changed or removed."""
    project = graph.project
    problems: list[OvError] = []
    chains, broken = _chains(graph)
    found = graph.status([step for steps in chains.values() for step in steps])
    own = {vm: tuple(step.name for step in graph.closure(steps)) for vm, steps in chains.items()}
    users: dict[str, int] = {}
    for name in (name for names in own.values() for name in names):
        users[name] = users.get(name, 0) + 1
    seen: set[tuple[int, int]] = set()
    vms = tuple(
        VmFact(vm, spec.source.kind, own.get(vm, ()), allocated(project.output / vm, seen), broken.get(vm, ""))
        for vm, spec in project.vms.items()
    )
    rest = allocated(project.output, seen)
    instances = tuple(_instances(project.root, seen, problems))
    kept, free = tidy(graph, RetentionLimits(), dry_run=True)
    ran = last_run(project.state)
    failed = {one.step for one in ran if one.outcome == Outcome.FAILED}
    sizes = {
        "what was built": sum(vm.size for vm in vms),
        "base images and notes in output/": rest,
        "instances": sum(one.size for one in instances),
        "the store of base images, for all projects": allocated(image_store(), seen),
    }
    return ReportFacts(
        root=project.root,
        version=__version__,
        now=time.time(),
        vms=vms,
        steps={one.step.name: _step(one, one.step.name in failed, users[one.step.name]) for one in found},
        instances=instances,
        ran=ran,
        critical=tuple(one.step for one in critical_path(ran)),
        sizes=sizes,
        kept=tuple(kept),
        free=tuple(free),
        problems=tuple(str(problem) for problem in problems),
    )


def _chains(graph: Graph) -> tuple[dict[str, tuple[Step, ...]], dict[str, str]]:
    """The steps of each VM, and why some have none."""
    chains: dict[str, tuple[Step, ...]] = {}
    broken: dict[str, str] = {}
    for vm in graph.project.vms:
        try:
            chains[vm] = graph.chain(vm).steps
        except OvError as e:
            broken[vm] = str(e)
    return chains, broken


def _step(status: StepStatus, failed: bool, users: int) -> StepFact:
    step, receipt = status.step, status.receipt
    made, took = (receipt.started + receipt.duration, receipt.duration) if receipt else (None, None)
    reasons = tuple(reason.text for reason in status.reasons)
    return StepFact(step.name, step.title, status.state, reasons, step.needs, made, took, failed, users)


def _instances(root: Path, seen: set[tuple[int, int]], problems: list[OvError]) -> Iterator[InstanceFact]:
    """The instances of the project's VMs; those of other projects are theirs to show."""
    records: Sequence[Record] = [record for record in every(problems) if record.project == root]
    states = statuses(records)
    reasons, places = stale(records, states), reached(records, states)
    for one in records:
        now = states[one.domain]
        yield InstanceFact(
            name=one.words,
            vm=one.vm,
            backend=one.backend,
            state=now.state.value,
            note=now.note or "",
            ssh=ssh_place(one, places.get(one.domain)) or "",
            uptime=now.uptime,
            memory=now.memory,
            size=allocated(one.folder.path, seen),
            stale=tuple(reasons[one.domain]),
        )

"""What a build would find of each VM: nothing to do, something, or everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ovtasks.errors import OvError
from ovtasks.graph.chains import Chain, Graph, StepState, StepStatus


class BuildState(StrEnum):
    """The state of a VM's artifacts. ``WRONG``: its entry has a mistake, or its source cannot be built here."""

    FRESH = "fresh"
    STALE = "stale"
    NEVER = "never"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class VmBuild:
    """``reasons`` say what a build would do and why, or what is wrong; empty if it is fresh."""

    state: BuildState
    reasons: tuple[str, ...] = ()


def build_states(graph: Graph, *, fresh: bool = False) -> dict[str, VmBuild]:
    """The state of each declared VM, in the order of the file. ``fresh``: it is known that nothing is to build."""
    project = graph.project
    if fresh:
        return dict.fromkeys(project.vms, VmBuild(BuildState.FRESH))
    chains: dict[str, Chain] = {}
    found: dict[str, VmBuild] = {}
    for vm in project.vms:
        try:
            chains[vm] = graph.chain(vm)
        except OvError as e:
            found[vm] = VmBuild(BuildState.WRONG, (e.message.splitlines()[0],))
    statuses = {one.step.name: one for one in graph.status([step for chain in chains.values() for step in chain])}
    for vm, chain in chains.items():
        found[vm] = _build(chain, (step.name for step in graph.closure(chain)), statuses)
    for owner, errors in project.wrong.items():
        if ":" not in owner:
            found[owner] = VmBuild(BuildState.WRONG, (errors[0].message.splitlines()[0],))
    return {vm: found[vm] for vm in (*project.vms, *(name for name in found if name not in project.vms))}


def _build(chain: Chain, names: Iterable[str], statuses: Mapping[str, StepStatus]) -> VmBuild:
    todo = [statuses[name] for name in names if statuses[name].state is not StepState.FRESH]
    if not todo:
        return VmBuild(BuildState.FRESH)
    reasons = tuple(f"{one.step.name}: {one.reasons[0].text}" for one in todo if one.reasons)
    never = all(statuses[step.name].receipt is None for step in chain if not step.shared)
    return VmBuild(BuildState.NEVER if never else BuildState.STALE, reasons)

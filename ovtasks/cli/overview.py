"""``ov list`` and ``ov status``: the project at a glance."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, output_json
from ovtasks.cli.status import format_rounded, say_emulated
from ovtasks.errors import EXIT_DONE, OvError

if TYPE_CHECKING:
    from ovtasks.graph.build_state import VmBuild
    from ovtasks.graph.chains import Graph
    from ovtasks.images.gc import Item
    from ovtasks.instance.record import Record

HEAD = ("NAME", "SOURCE", "BUILD", "INSTANCE", "STATE", "SSH", "WHY")


@dataclass(frozen=True)
class SeenInstance:
    """An instance of a VM of this project. ``facts`` are those of ``ov vm list --json``; ``ssh`` is for people."""

    record: Record
    facts: Mapping[str, object]
    ssh: str | None
    stale: Sequence[str]
    state: str
    running: bool


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov list``."""
    parser.description = (
        "List every VM of the project with its instances and its state: fresh (built), stale (would be "
        "built again), never (not built yet) or wrong (has a mistake). ov vm list shows the VMs of all "
        "projects."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov status``."""
    parser.description = (
        "Show the project at a glance: VMs, builds, instances, disk use, what gc would free, and the next command."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_status)


def run_list(args: argparse.Namespace) -> int:
    """Print a line for each instance, and one for each VM without any."""
    from ovtasks.graph.build_state import build_states
    from ovtasks.graph.manifest import built

    graph = _open(args)
    root = graph.project.root
    fresh = not graph.project.wrong and built(str(root), []) is not None
    builds = build_states(graph, fresh=fresh)
    instances = instances_of(args, root)
    if args.json:
        output_json({"project": str(root), "vms": [*_json(graph, builds, instances)]})
        return EXIT_DONE
    from ovtasks.cli.table import table

    rows = [row for vm in _names(builds, instances) for row in _rows(graph, vm, builds.get(vm), instances)]
    if rows:
        sys.stdout.write(table(HEAD, rows))
        say_emulated(args, [one.record for one in instances if one.running])
    else:
        note(args).note("no VM is declared; ov init writes a first one")
    return EXIT_DONE


def _open(args: argparse.Namespace) -> Graph:
    """The project, with the VMs that are right; the mistakes of the others are shown with their names."""
    from ovtasks.graph import plugins
    from ovtasks.graph.chains import Graph
    from ovtasks.project.load import find_root, load_project

    return Graph(load_project(find_root(args.directory.absolute()), kinds=plugins.schema, tolerant=True))


def instances_of(args: argparse.Namespace, root: Path) -> list[SeenInstance]:
    """The instances of the project's VMs. What is damaged is a note."""
    from ovtasks.instance.find import every

    problems: list[OvError] = []
    records = [record for record in every(problems) if record.project == root]
    for problem in problems:
        note(args).note(f"ov: {problem}")
    if not records:
        return []
    from ovtasks.cli.show import facts, ssh_place
    from ovtasks.cli.stale import stale
    from ovtasks.instance.address import reached
    from ovtasks.instance.status import statuses

    states = statuses(records)
    reasons, places = stale(records, states), reached(records, states)
    found = []
    for one in records:
        now, place = states[one.domain], places.get(one.domain)
        told = facts(one, now, reasons[one.domain], place)
        found.append(SeenInstance(one, told, ssh_place(one, place), reasons[one.domain], now.state.value, now.active))
    return found


def _names(builds: Mapping[str, VmBuild], instances: Sequence[SeenInstance]) -> list[str]:
    return list(dict.fromkeys((*builds, *(one.record.vm for one in instances))))


def _source(graph: Graph, vm: str) -> str | None:
    spec = graph.project.vms.get(vm)
    return spec.source.kind if spec is not None else None


def _rows(graph: Graph, vm: str, build: VmBuild | None, instances: Sequence[SeenInstance]) -> list[tuple[str, ...]]:
    own = [one for one in instances if one.record.vm == vm]
    first = (vm, _source(graph, vm) or "-", build.state.value if build else "-")
    why = build.reasons[0] if build and build.reasons else "-"
    if not own:
        return [(*first, "-", "not created", "-", why)]
    return [
        (*first, one.record.instance or "-", one.state, one.ssh or "-", one.stale[0] if one.stale else why)
        for one in own
    ]


def _json(graph: Graph, builds: Mapping[str, VmBuild], instances: Sequence[SeenInstance]) -> list[dict[str, object]]:
    by_vm: dict[str, list[Mapping[str, object]]] = {}
    for one in instances:
        by_vm.setdefault(one.record.vm, []).append(one.facts)
    return [
        {
            "name": vm,
            "source": _source(graph, vm),
            "build": {"state": builds[vm].state.value, "reasons": [*builds[vm].reasons]} if vm in builds else None,
            "instances": by_vm.get(vm, []),
        }
        for vm in _names(builds, instances)
    ]


def run_status(args: argparse.Namespace) -> int:
    """Print the overview."""
    from ovtasks.cli.report.facts import gather
    from ovtasks.graph.build_state import build_states
    from ovtasks.host.colour import state

    graph = _open(args)
    builds = build_states(graph)
    instances = instances_of(args, graph.project.root)
    found = gather(graph)
    next_ = next_command(builds, instances)
    if args.json:
        output_json(
            {
                "project": str(graph.project.root),
                "vms": {vm: build.state.value for vm, build in builds.items()},
                "instances": [
                    {"name": one.record.vm, "instance": one.record.instance, "state": one.state, "stale": [*one.stale]}
                    for one in instances
                ],
                "disk": [{"what": what, "size": size} for what, size in found.sizes.items()],
                "gc": {"files": len(found.free), "size": _size(found.free)},
                "next": next_,
            }
        )
        return EXIT_DONE
    states = [build.state.value for build in builds.values()]
    running = [one.state for one in instances]
    old = sum(bool(one.stale) for one in instances)
    free = _size(found.free)
    lines = {
        "project": str(graph.project.root),
        "VMs": _counted(states),
        "instances": _counted(running) + (f"; {old} {state('stale', sys.stdout)}" if old else ""),
        "disk": ", ".join(f"{what} {format_rounded(size)}" for what, size in found.sizes.items() if size) or "nothing",
        "gc": f"would free {format_rounded(free)} ({len(found.free)} files)" if found.free else "would free nothing",
        "next": next_,
    }
    for key, value in lines.items():
        print(f"{key:<10} {value}")
    say_emulated(args, [one.record for one in instances if one.running])
    return EXIT_DONE


def _size(items: Sequence[Item]) -> int:
    return sum(item.size for item in items)


def _counted(words: Sequence[str]) -> str:
    """``3: 2 fresh, 1 stale``."""
    if not words:
        return "none"
    from ovtasks.host.colour import state

    counts = (f"{words.count(word)} {state(word, sys.stdout)}" for word in dict.fromkeys(words))
    return f"{len(words)}: {', '.join(counts)}"


def next_command(builds: Mapping[str, VmBuild], instances: Sequence[SeenInstance]) -> str:
    """The one command that helps most now."""
    from ovtasks.graph.build_state import BuildState

    if not builds:
        return "ov init writes a first VM"
    by_state = {state: [vm for vm, build in builds.items() if build.state is state] for state in BuildState}
    if by_state[BuildState.WRONG]:
        return "ov validate says what is wrong"
    there = {one.record.vm for one in instances}
    for vm in by_state[BuildState.STALE]:
        return f"ov vm build {vm} builds what is stale"
    for one in instances:
        if one.stale and one.record.vm in builds:
            return f"ov vm create {one.record.words} brings it up to date: {one.stale[0]}"
    never = [] if instances else by_state[BuildState.NEVER]
    for vm in (*by_state[BuildState.FRESH], *never):
        if vm not in there:
            return f"ov vm create {vm} makes the VM and starts it"
    for one in instances:
        if not one.running:
            return f"ov vm start {one.record.words}"
    return f"ov vm ssh {instances[0].record.words} logs in" if instances else "nothing to do"

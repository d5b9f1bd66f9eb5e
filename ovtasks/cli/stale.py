"""Finds instances that are older than what ``vms.yml`` says now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError

if TYPE_CHECKING:
    from ovtasks.graph.chains import Graph
    from ovtasks.instance.record import Record


def stale(records: Iterable[Record]) -> dict[str, list[str]]:
    """The reasons by domain; empty if the instance has the disk of a fresh build. Reads receipts and runs nothing."""
    graphs: dict[Path, Graph | str] = {}
    found: dict[str, list[str]] = {}
    for record in records:
        if (noted := _noted(record)) is not None:
            found[record.domain] = noted
            continue
        if record.project not in graphs:
            graphs[record.project] = _open(record.project)
        graph = graphs[record.project]
        found[record.domain] = [graph] if isinstance(graph, str) else _reasons(record, graph)
    return found


def _noted(record: Record) -> list[str] | None:
    """The reasons, if the fast path of ``ov vm build`` knows that nothing is to build; None if it does not know.

    This reads no project and checks no step.
    """
    from ovtasks.graph.manifest import built
    from ovtasks.host.state import try_load_state

    answer = built(str(record.project), [record.vm])
    if answer is None:
        return None
    root, artifacts = answer
    disks = [name for name in artifacts if name.endswith("/qcow2/disk.qcow2")]
    receipt = try_load_state(Path(root, f"{disks[0]}.receipt.json")) if disks else None  # as it was when noted
    return _compare(record, str(receipt["digest"])) if receipt and "digest" in receipt else None


def _compare(record: Record, digest: str) -> list[str]:
    """The reasons after a fresh build. ``digest`` is that of its disk."""
    if record.built is None:
        return ["no disk"]
    return [] if digest == record.built else ["built anew since"]


def _open(project: Path) -> Graph | str:
    from ovtasks.graph import plugins
    from ovtasks.graph.chains import Graph
    from ovtasks.project.load import load_project

    if not project.is_dir():
        return "its project is gone"
    try:
        return Graph(load_project(project, kinds=plugins.schema))
    except OvError:
        return "its project cannot be read"


def _reasons(record: Record, graph: Graph) -> list[str]:
    from ovtasks.graph.chains import StepState
    from ovtasks.instance.built import last_build

    if record.vm not in graph.project.vms:
        return ["no longer declared"]
    try:
        chain = graph.chain(record.vm)
        todo = [status.step.name for status in graph.status(chain) if status.state is not StepState.FRESH]
        if todo:
            return [f"to build: {', '.join(todo)}"]
        return ["no disk"] if record.built is None else _compare(record, last_build(graph, record.vm)[1].digest)
    except OvError as e:
        return [e.message.splitlines()[0]]

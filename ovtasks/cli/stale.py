"""Finds instances that are older than what the project's files say now.

Two questions: would a build make another disk, and would ``create`` change anything beside the disk? What is known from
the fast path of ``ov vm build`` costs a look at files; so does the answer to the second question, once it was found.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError

if TYPE_CHECKING:
    from ovtasks.backends.contract import VmStatus
    from ovtasks.graph.chains import Graph
    from ovtasks.instance.record import Record

NO_DISK = "no disk"
NOT_DEFINED = "not defined"


def stale(records: Iterable[Record], states: Mapping[str, VmStatus]) -> dict[str, list[str]]:
    """The reasons by domain; empty if a build and a create would change nothing. Runs no step.

    ``states`` are the instances' own, by domain.
    """
    projects = _Projects()
    found: dict[str, list[str]] = {}
    for record in records:
        built = _noted(record)
        if built is None:
            graph = projects.open(record.project)
            if isinstance(graph, str) or record.vm not in graph.project.vms:
                found[record.domain] = [graph] if isinstance(graph, str) else ["no longer declared"]
                continue
            built = _reasons(record, graph)
        more = [] if NO_DISK in built else projects.pending(record, running=states[record.domain].active)
        found[record.domain] = [*built, *more]
    return found


class _Projects:
    """The projects of instances, each read once, if at all."""

    def __init__(self) -> None:
        self._graphs: dict[Path, Graph | str] = {}
        self._loaded_ns: dict[Path, int] = {}

    def open(self, project: Path) -> Graph | str:
        """The project's graph, else why there is none."""
        if project not in self._graphs:
            self._loaded_ns[project] = time.time_ns()
            self._graphs[project] = _open(project)
        return self._graphs[project]

    def pending(self, record: Record, *, running: bool) -> list[str]:
        """What a create would change of an instance that has a disk."""
        from ovtasks.graph.manifest import pending as noted

        words = [record.vm, record.instance or "", "on" if running else "off"]
        known = noted(str(record.project), words)
        if known is not None:
            return known
        graph = self.open(record.project)
        if isinstance(graph, str):
            return []
        try:
            found, layers = _pending(record, graph), _layers(record, graph)
        except OvError as e:
            return [f"ov vm create refuses: {e.message.splitlines()[0]}"]
        if layers is None:
            self._note(record, graph, words, found)
        return found + (layers or [])

    def _note(self, record: Record, graph: Graph, words: list[str], found: list[str]) -> None:
        """Note the answer for the next time, if files alone decide it."""
        from ovtasks.graph.manifest import INSTANCE
        from ovtasks.graph.save_manifest import save_watched
        from ovtasks.instance.create import key_choice

        if record.backend not in {"qemu", "libvirt"} or record.uri not in {None, "qemu:///session"}:
            return  # its definition is out of sight
        folder = record.folder
        keys = key_choice(graph.project.vms[record.vm], record)
        own = [folder.path, folder.record, folder.machine, folder.seed, folder.host_key]
        own += [folder.host_key.with_suffix(".pub"), folder.path / "argv.json", *_domain_file(record)]
        more = [*own, *keys.reads, *([keys.public] if keys.public else [])]
        save_watched(graph, (INSTANCE, words), found, self._loaded_ns[record.project], more)


def _domain_file(record: Record) -> list[Path]:
    """Where libvirt's session keeps the definition."""
    from ovtasks.host.paths import config_home

    return [config_home() / "libvirt/qemu" / f"{record.domain}.xml"] if record.uri else []


def _pending(record: Record, graph: Graph) -> list[str]:
    """What a create would change.

    :raises OvError: the backend cannot be asked, or the spec asks for what this host lacks.
    """
    from ovtasks.instance.pending import pending

    now = pending(graph.project.vms[record.vm], record.instance)
    found = [change for change in now.changes if change != NOT_DEFINED]  # that is its state
    return found + [f"{change}; the VM has to be off for that" for change in now.later]


def _layers(record: Record, graph: Graph) -> list[str] | None:
    """Whether its layers differ from those that were put into the guest; None: it gets none."""
    wanted = [
        one for one in graph.project.deployments.values() if (one.vm, one.instance) == (record.vm, record.instance)
    ]
    if not wanted:
        return None
    from ovtasks.deploy.report import row_of

    differs = [one.name for one in wanted if row_of(graph.project, one).state == "differs"]
    return [f"layers differ: {', '.join(differs)}"] if differs else []


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
        return [NO_DISK]
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

    try:
        chain = graph.chain(record.vm)
        todo = [status.step.name for status in graph.status(chain) if status.state is not StepState.FRESH]
        if todo:
            return [f"to build: {', '.join(todo)}"]
        return [NO_DISK] if record.built is None else _compare(record, last_build(graph, record.vm)[1].digest)
    except OvError as e:
        return [e.message.splitlines()[0]]

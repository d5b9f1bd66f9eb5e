"""``source.kind: clone``: the disk of another VM, as it was at one of its snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.graph.plugins import SourcePlugin
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.graph.step import BuildOptions, Step
    from ovtasks.host.programs import Program
    from ovtasks.project.model import Project, VmSpec


class Clone(SourcePlugin):
    """The chain ``copy → disk``, and the seed."""

    kind = "clone"
    verbs = ("copy", "disk", "key", "seed")

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        return ("qemu-img",)

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        from ovtasks.sources.clone.chain import clone_steps

        return clone_steps(vm, project, options)

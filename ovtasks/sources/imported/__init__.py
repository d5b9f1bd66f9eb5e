"""``source.kind: imported``: the disk of a libvirt domain that was there before us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.graph.plugins import SourcePlugin
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.graph.step import BuildOptions, Step
    from ovtasks.host.programs import Program
    from ovtasks.project.model import Project, VmSpec


class Imported(SourcePlugin):
    """The chain ``adopt → disk``, and the seed if the VM wants cloud-init."""

    kind = "imported"
    verbs = ("adopt", "disk", "key", "seed")

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        return ("qemu-img",)

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        from ovtasks.sources.imported.chain import imported_steps

        return imported_steps(vm, project, options)

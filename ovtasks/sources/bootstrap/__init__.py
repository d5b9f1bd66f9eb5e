"""``source.kind: bootstrap``: a bootable image from the packages of a distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.graph.plugins import SourcePlugin
from ovtasks.sources.console import CONSOLE
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.graph.step import BuildOptions, Step
    from ovtasks.host.programs import Program
    from ovtasks.project.model import Project, VmSpec


class Bootstrap(SourcePlugin):
    """One base step for each recipe, then the same chain as for cloud images."""

    kind = "bootstrap"
    options = (CONSOLE,)
    verbs = ("base", "disk", "key", "seed")

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        from ovtasks.sources.bootstrap.programs import needed

        return needed(source)

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        from ovtasks.sources.bootstrap.chain import bootstrap_steps

        return bootstrap_steps(vm, project, options)

"""``source.kind: cloud_image``: a vendor's disk image, downloaded and verified."""

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


class CloudImage(SourcePlugin):
    """The chain ``fetch → verify → disk``, and the seed."""

    kind = "cloud_image"
    options = (CONSOLE,)  # to say why it cannot be had
    verbs = ("fetch", "verify", "disk", "key", "seed")

    def programs(self, source: Mapping[str, Json]) -> Iterable[str | Program]:
        checksum = source.get("checksum")
        signed = isinstance(checksum, Mapping) and "keyring" in checksum
        return ("qemu-img", *(["gpgv"] if signed else []))

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        from ovtasks.sources.cloud_image.chain import cloud_image_steps

        return cloud_image_steps(vm, project, options)

"""A source plugin for tests: the cloud image chain, with a stop before and after each step's work.

``PAUSE_AT=disk:before`` makes the step write ``PAUSE_FILE`` and wait there to be killed. With ``PAUSE_TALK`` a program
of the step talks meanwhile, until somebody removes the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.run import run as run_program
from ovtasks.project.model import Checksum, CloudImageSource, Project, VmSpec
from ovtasks.sources.cloud_image import CloudImage
from ovtasks.values.jsonvalue import Json

SECONDS = 120.0
"""Who waits for the signal's effect has less patience: it is not the pause that ended."""
TALK = 'n=0; while [ -e "$0" ]; do n=$((n + 1)); echo "unpacked $n of 900"; sleep 0.1; done'
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"kind": {"const": "paused"}, "url": {"type": "string"}},
    "required": ["kind", "url"],
    "additionalProperties": False,
}


class Paused(CloudImage):
    """``source: {kind: paused, url: PATH}``."""

    kind = "paused"
    schema: Mapping[str, Json] | None = SCHEMA

    def steps(self, vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
        fields = vm.source.fields
        source = CloudImageSource("paused", fields, url=str(fields["url"]), checksum=Checksum("none"))
        chain = super().steps(replace(vm, source=source), project, options)
        return [replace(step, run=_pausing(step.verb, step.run)) for step in chain]


def _pausing(verb: str, work: Callable[[Workspace], None]) -> Callable[[Workspace], None]:
    def run(workspace: Workspace) -> None:
        _pause(f"{verb}:before")
        work(workspace)
        _pause(f"{verb}:after")

    return run


def _pause(point: str) -> None:
    if os.environ.get("PAUSE_AT") == point:
        file = Path(os.environ["PAUSE_FILE"])
        file.touch()
        if "PAUSE_TALK" in os.environ:
            run_program(["sh", "-c", TALK, file], timeout=SECONDS)
        else:
            time.sleep(SECONDS)


def install(site: Path) -> None:
    """Lay the plugin out as an installed distribution in ``site``."""
    info = site / "ov_paused-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ov-paused\nVersion: 1.0\n", encoding="utf-8")
    entry = "[ovtasks.sources]\npaused = tests.graph.paused:Paused\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")

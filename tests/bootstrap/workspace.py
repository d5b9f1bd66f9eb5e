"""A bootstrap step run as the graph runs it, without the graph."""

from __future__ import annotations

import sys
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.graph.step import BuildOptions, Workspace
from ovtasks.project.model import BootstrapSource, Project, VmSpec
from ovtasks.sources.bootstrap.chain import base_step

WHERE = Where("vms.yml", 3, 5)


class Recorder:
    """Progress that a test can look at; percentages also go to stdout, for who watches the process."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.percent: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        assert (total, unit) == (100, "%")
        self.percent.append(done)
        print(done, flush=True)


def run_base(root: Path, source: BootstrapSource) -> tuple[Workspace, Recorder]:
    """Build the base image of ``source`` in the project folder ``root``."""
    vm = VmSpec("demo", source, WHERE)
    step = base_step(vm, Project(root, {"demo": vm}, ()), BuildOptions())
    step.targets[0].parent.mkdir(parents=True, exist_ok=True)
    progress = Recorder()
    workspace = Workspace(step, {}, progress)
    step.run(workspace)
    return workspace, progress


if __name__ == "__main__":  # the demo of vms.yml
    run_base(Path(sys.argv[1]), BootstrapSource("bootstrap", {}, suite="bookworm", packages=("qemu-guest-agent",)))

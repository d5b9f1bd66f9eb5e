"""Run as an ordinary user, whose podman is rootless: bring image ``x`` of the folder at hand, and say its ID.

``python -m tests.containers.rootless FOLDER [end]``; the folder holds ``files/Containerfile``. ``end``: say what is
left in podman's storage instead, and end the process that keeps rootless podman's namespace.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.graph.execute import execute
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import BuildOptions
from ovtasks.host.progress import SilentProgress
from ovtasks.project.model import ImageSpec, Project
from ovtasks.sources.bootc.image import image_steps
from tests.containers.podman import Podman


def main(root: Path, end: bool) -> None:
    podman = Podman.make(root / "podman", root / "run")
    os.environ.update(podman.env)
    if end:
        print("left", podman("ps", "--all", "--external", "--quiet"))
        podman("system", "migrate")
        return
    image = ImageSpec("x", Where("image.yml"), context=root / "files")
    project = Project(root, {}, (), {"x": image})
    (step,) = image_steps(image, project, BuildOptions())
    ran = execute(step, {}, project.state / "locks", SilentProgress())
    receipt = Receipt.load(step.receipt)
    print("ran" if ran else "fresh", receipt.facts["id"] if receipt else None, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["end"])

from __future__ import annotations

from ovtasks.graph.step import BuildOptions, Step
from ovtasks.spec.model import ImageSpec, Project


def image_step(image: ImageSpec, project: Project, options: BuildOptions) -> Step:
    raise NotImplementedError

"""``build``: what the layer's folder holds for a builder."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.cmd import run_commands
from ovtasks.layers.manifests import pixi_manifest
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask

_BUILDS = {"build.sh": "cd /ctx/\nsh ./build.sh"}
_BEFORE = ("package.json", "pixi.toml", "Cargo.toml")
"""Their kinds put them in before the tasks anyway."""


class Build(OperationKind):
    """A builder."""

    name = "build"
    doc = (
        "Runs `build.sh` of the layer's folder in the guest, unless it belongs to a `pixi.toml`. "
        "`package.json`, `pixi.toml` and `Cargo.toml` are applied before the tasks, with or without a "
        "task `build`. Undo runs `uninstall`."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        wanted = str(task.data["build"])
        folder = context.layer.folder
        ours = _BUILDS if pixi_manifest(context.layer) is None else {}
        here = [name for name in ours if wanted in {"all", name} and (folder / name).is_file()]
        if not here and not any((folder / name).is_file() for name in _BEFORE):
            context.skip(f"build {wanted}", f"{folder} has nothing that can be built", task.where)
        for name in here:
            yield run_commands(self.name, f"build {name}", _BUILDS[name], task, context)

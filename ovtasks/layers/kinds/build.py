"""``build``: what the layer's folder holds for a builder."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.cmd import run_commands
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask

_BUILDS = {
    "Cargo.toml": 'cd /ctx/\ncargo install --locked --path . --root "$HOME/.cargo"',
    "build.sh": "cd /ctx/\nsh ./build.sh",
}
_BEFORE = ("package.json", "pixi.toml")
"""Their kinds put them in before the tasks anyway."""


class Build(OperationKind):
    """A builder."""

    name = "build"
    doc = (
        "Builds what lies in the layer's folder, in the guest: `build.sh` is run, a crate (`Cargo.toml`) is installed"
        " by cargo into `~/.cargo`. `package.json` and `pixi.toml` are put in before the tasks, whether a task says"
        " `build` or not. Undo runs `uninstall`."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        wanted = str(task.data["build"])
        folder = context.layer.folder
        here = [name for name in _BUILDS if wanted in {"all", name} and (folder / name).is_file()]
        if not here and not any((folder / name).is_file() for name in _BEFORE):
            context.skip(f"build {wanted}", f"{folder} has nothing that can be built", task.where)
        for name in here:
            yield run_commands(self.name, f"build {name}", _BUILDS[name], task, context)

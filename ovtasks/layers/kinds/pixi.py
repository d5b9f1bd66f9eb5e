"""``pixi.toml`` (or ``pyproject.toml``, ``environment.yml``) beside ``layer.yml``: an environment of pixi."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.functions import call, functions, with_functions
from ovtasks.layers.manifests import pixi_manifest, table, toml_of
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.places import display

_BESIDE = ("pixi.lock", "build.sh")
_PLATFORMS = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le", "riscv64": "linux-riscv64"}


class Pixi(OperationKind):
    """An environment of pixi."""

    name = "pixi"
    doc = (
        "Builds the environment of a `pixi.toml` beside `layer.yml` with pixi, for the guest's user. A "
        "`pyproject.toml` with `[tool.pixi]` or an `environment.yml` works, too. ov uses a `pixi.lock` "
        "as it is (`--frozen`). A `build.sh` runs afterwards in the home folder, with the environment's "
        "programs in PATH. Each layer has its own environment. `~/.pixi/envs/default` combines them: "
        "its `bin` contains the programs of all layers and is in PATH; the rest comes from the last "
        "layer. The guest needs pixi: if the project has a layer `pixi`, it comes before. ov checks "
        "whether the manifest is unchanged and the environment exists. Undo removes the environment; "
        "other effects of `build.sh` stay."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        manifest = pixi_manifest(layer)
        if manifest is None:
            return
        where = Where(display(manifest), 1, 1)
        platform = _PLATFORMS.get(context.facts.arch, context.facts.arch)
        platforms = _platforms(manifest, where)
        if platforms and platform not in platforms:
            context.skip(manifest.name, f"its platforms are {', '.join(platforms)}, and not {platform}", where)
            return
        files = {manifest.name: manifest} | {name: layer.files[name] for name in _BESIDE if name in layer.files}
        variables = {"ov_home": context.facts.home, "ov_layer": layer.name, "ov_files": " ".join(files)}
        yield Operation(
            kind=self.name,
            name=f"build the environment of {manifest.name}",
            look=call("ov_pixi_look", **variables),
            save=call("ov_pixi_save", **variables),
            do=call("ov_pixi_do", **variables),
            undo=call("ov_pixi_undo", **variables),
            user=context.facts.user,
            uploads=tuple(file_upload(name, path) for name, path in files.items()),
            complete=lambda operation, _: with_functions(operation, functions("pixi.sh")),
            caveat="what build.sh did outside of the environment stays" if "build.sh" in files else "",
            where=where,
        )


def _platforms(manifest: Path, where: Where) -> tuple[str, ...]:
    """The platforms that a manifest is for; none: it does not say."""
    if manifest.suffix != ".toml":
        return ()
    data = toml_of(manifest)
    own = table(table(data, "tool"), "pixi") if manifest.name == "pyproject.toml" else data
    found = (table(own, "workspace") or table(own, "project")).get("platforms", ())
    if not isinstance(found, list):
        raise InputError("platforms is not a list", hint='write platforms = ["linux-64"]', where=where)
    return tuple(map(str, found))

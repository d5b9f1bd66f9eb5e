"""``Cargo.toml`` beside ``layer.yml``: a program in Rust, built in the guest."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload, files_below
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.functions import call, functions, with_functions
from ovtasks.layers.manifests import CARGO, table, toml_of
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.places import display

_NOT_SOURCE = ("target", ".git")


class Cargo(OperationKind):
    """A crate."""

    name = "cargo"
    doc = (
        "Builds the crate of the `Cargo.toml` beside `layer.yml`, and installs its programs into "
        "`~/.cargo/bin` of the guest's user. A `Cargo.lock` pins versions (`--locked`). The guest needs "
        "cargo: if the project has a layer `rust`, it comes before. ov checks whether the programs "
        "exist. Undo uninstalls the crate; cargo's download cache stays."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        manifest = layer.files.get(CARGO)
        if manifest is None:
            return
        where = Where(display(manifest), 1, 1)
        crate = table(toml_of(manifest), "package").get("name")
        if not isinstance(crate, str):
            hint = "a workspace has several crates; give each a layer of its own"
            raise InputError(f"{CARGO} has no package with a name", hint=hint, where=where)
        files = {path.relative_to(layer.folder).as_posix(): path for path in files_below(layer.folder)}
        source = {name: path for name, path in files.items() if name.partition("/")[0] not in _NOT_SOURCE}
        locked = "--locked" if "Cargo.lock" in source else ""
        variables = {"ov_home": context.facts.home, "ov_crate": crate, "ov_locked": locked}
        yield Operation(
            kind=self.name,
            name=f"install {crate} by cargo",
            look=call("ov_cargo_look", **variables),
            save=call("ov_cargo_save", **variables),
            do=call("ov_cargo_do", **variables),
            undo=call("ov_cargo_undo", **variables),
            user=context.facts.user,
            uploads=tuple(file_upload(f"crate/{name}", path) for name, path in source.items() if path.is_file()),
            complete=lambda operation, _: with_functions(operation, functions("cargo.sh")),
            where=where,
        )

"""The step ``image`` of an image with a ``base``: its layers are compiled for the base's system and put into it.

What the system is turns out when the base is there, so the plans are made in the step. Its inputs are the base and what
the layers say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ovtasks.containers.context import Context
from ovtasks.containers.engine import Engine, own
from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.guest.connection import Finished
from ovtasks.host.run import run
from ovtasks.layers.containerfile import CONTAINERFILE, layered_context
from ovtasks.layers.downloads import Downloads
from ovtasks.layers.given import with_defaults
from ovtasks.layers.operation import Skipped
from ovtasks.layers.plan import LayerPlan, compile_layer, complete, needs_of
from ovtasks.layers.plugins import plugin_digests, plugin_files
from ovtasks.layers.probe import probe
from ovtasks.project.model import ImageSpec, Project, Pull
from ovtasks.sources.bootc.layer_inputs import image_layers, layer_inputs, ungiven
from ovtasks.sources.bootc.stamp import (
    demands,
    finish_build,
    key_of,
    local_name,
    moved,
    stamp_file,
    workshop,
)

RECIPE = 1
FOLDER = "context"
SECONDS = 120.0
PODMANS = range(125, 128)
"""Statuses of ``podman run`` that say: it failed itself, the program cannot be run, or there is no such program."""


def layered_step(image: ImageSpec, project: Project, options: BuildOptions, base: str) -> Step:
    """The step that puts the layers of ``image`` into what the step ``base`` brings.

    :raises InputErrors: a layer is wrong or missing. :raises InputError: an image cannot give a layer what it needs.
    """
    looked = layer_inputs(image, project)
    if not image.skip_incompatible:
        _refuse(image, [*ungiven(image_layers(image, project))], "; ov deploy add puts the layer into the VM instead")
    target = stamp_file(image, project)
    kinds = plugin_digests()
    name = local_name(image)
    reason, reads = moved(target, name, project)
    return Step(
        name=f"image:@{key_of(image)}",
        inputs={
            "recipe": RECIPE,
            "image": name,
            **demands(image),
            "layers": [*looked.digests],
            "content": dict(looked.digests),
            "user": image.user,
            "skip_incompatible": image.skip_incompatible,
            **({"plug-ins": dict(kinds)} if kinds else {}),
        },
        targets=(target,),
        run=lambda ws: _build(ws, image, project, options),
        title=f"container image {image.name}",
        needs=(base,),
        reads=(*reads, *looked.reads, *plugin_files()),
        makes="container image",
        shared=True,
        refresh=reason,
        labels={base.partition(":")[0]: "base image"},
    )


def _build(ws: Workspace, image: ImageSpec, project: Project, options: BuildOptions) -> None:
    engine = own()
    (needed,) = ws.needs.values()
    base = str(needed.facts["id"])
    plans = _plans(ws, image, project, engine, base)
    made = layered_context(base, plans, user=_user_of(engine, base))
    shop = workshop(ws, engine, project, options)
    folder = shop.folder / FOLDER
    looked = Context(folder / CONTAINERFILE, folder, (base,), {}, (), None)
    fill = _writer(made.files)
    built = shop.build(image, looked, local_name(image), pull=image.pull is not Pull.NEVER, fill=fill)
    shop.done()
    finish_build(ws, image, engine, built)


def _plans(ws: Workspace, image: ImageSpec, project: Project, engine: Engine, base: str) -> list[LayerPlan]:
    """The plans of all layers, complete with their downloads.

    :raises InputError: a layer asks for what cannot be done in this image.
    """
    facts = replace(probe(ImageShell(engine, base, image)), booted=False, root=True)
    layers = image_layers(image, project)
    plans = [compile_layer(layer, facts, with_defaults(layer, {}), below=needs_of(layer, layers)) for layer in layers]
    skipped = [*ungiven(layers), *(one for plan in plans for one in plan.skipped)]
    if not image.skip_incompatible:
        _refuse(image, skipped)
    for one in skipped:
        ws.progress.note(f"left out: {_words(one)}")
    return [complete(plan, Downloads(ws.progress)) for plan in plans]


def _refuse(image: ImageSpec, skipped: Sequence[Skipped], more_hint: str = "") -> None:
    """:raises InputError: something would be left out."""
    if not skipped:
        return
    first = skipped[0]
    more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
    hint = "skip_incompatible: true in the image's entry leaves it out" + more_hint
    raise InputError(f"image '{image.name}': {_words(first)}{more}", hint=hint, where=first.where)


def _words(skipped: Skipped) -> str:
    return f"{skipped.what}: {skipped.why}"


def _user_of(engine: Engine, image: str) -> str:
    """Whom containers of the image run as; empty: root."""
    return engine.run("image", "inspect", "--format", "{{.Config.User}}", image, timeout=SECONDS).stdout.strip()


def _writer(files: Mapping[str, bytes | Path]) -> Callable[[Path], None]:
    """A function that writes ``files`` into the context below the folder that it is given."""
    import shutil

    def fill(folder: Path) -> None:
        for name, content in files.items():
            path = folder / FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copyfile(content, path)

    return fill


class ImageShell:
    """Runs scripts in a container of an image, so that one can ask it what one asks a guest. It changes nothing."""

    def __init__(self, engine: Engine, base: str, image: ImageSpec) -> None:
        self.engine = engine
        self.base = base
        self.image = image

    def run(self, script: str) -> Finished:
        """Run a script of ``sh`` without a network.

        :raises OvError: the base has no shell, or no such account.
        """
        user = self.image.user
        words = ("run", "--rm", "--interactive", "--network=none", "--pull=never", "--user", user)
        argv = self.engine.argv(*words, "--entrypoint", "/bin/sh", self.base, "-s")
        done = run(argv, check=False, stdin=script.encode(), timeout=SECONDS)
        if done.returncode in PODMANS:
            raise OvError(
                f"image '{self.image.name}': podman cannot run /bin/sh as {user} in the base: {done.stderr.strip()}",
                hint="layers need /bin/sh in the base, and user: must be one of its accounts",
                where=self.image.where,
            )
        return Finished(done.returncode, done.stdout.encode(), done.stderr.encode())

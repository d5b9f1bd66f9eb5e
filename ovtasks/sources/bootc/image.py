"""The step ``image``: pulls or builds a container image into podman's storage. Its digest is the image ID.

The ID does not depend on how the image arrived. So if a pull or a build brings the same image again, later steps do not
run. Every run compares the ID of last time with the storage's own files: the step runs again if the image was removed,
or if its name now means another image. A build has one more step for each image that it begins from.
"""

from __future__ import annotations

import platform

from ovtasks.containers import context
from ovtasks.containers.builder import inspect
from ovtasks.containers.engine import own
from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.state import try_load_state
from ovtasks.project.images import normalized, reference_error
from ovtasks.project.model import ImageSpec, Project, Pull
from ovtasks.sources.bootc.layered import layered_step
from ovtasks.sources.bootc.stamp import (
    demands,
    finish,
    finish_build,
    is_local,
    key_of,
    local_name,
    moved,
    named_stamp,
    stamp_file,
    workshop,
)
from ovtasks.values.arch import arch_of
from ovtasks.values.jsonvalue import digest

RECIPE = 1
REFRESH = "asked for a newer image"


def image_steps(
    image: ImageSpec, project: Project, options: BuildOptions, path: tuple[str, ...] = ()
) -> tuple[Step, ...]:
    """The steps that bring ``image``; the last one is its own, with the facts of :func:`finish`.

    ``path`` names the images that are built from this one, so that a circle is noticed.

    :raises InputError: the containerfile is missing or wrong, images are built from each other in a circle, or a name
        has no digest although ``options.locked`` demands one.
    """
    if image.ref is not None:
        return (_ref_step(image, image.ref, project, options, "image"),)
    if image.name in path:
        circle = " → ".join((*path[path.index(image.name) :], image.name))
        hint = "one of them must start from another image"
        raise InputError(f"images are built from each other in a circle: {circle}", hint=hint, where=image.where)
    if image.base is not None:
        base = _base_of(image, image.base, project, options, (*path, image.name))
        return (*base, layered_step(image, project, options, base[-1].name))
    looked = _look(image, project, whole=False)
    bases = [_base_steps(name, image, project, options, (*path, image.name)) for name in looked.bases]
    if any(_has_onbuild(steps[-1]) for steps in bases):
        looked = _look(image, project, whole=True)
    before = {step.name: step for steps in bases for step in steps}
    return (*before.values(), _build_step(image, looked, project, options, tuple(steps[-1].name for steps in bases)))


def _look(image: ImageSpec, project: Project, *, whole: bool) -> context.Context:
    machine = arch_of(platform.machine()).oci
    try:
        return context.read_context(image, project.output, project.state, machine, whole=whole)
    except InputError as e:
        e.where = e.where or image.where  # a missing stage has no place of its own
        raise


def _base_of(
    image: ImageSpec, base: str, project: Project, options: BuildOptions, path: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps of ``image.base``: an entry of the project, or a reference.

    :raises InputError: it is neither; and as :func:`image_steps`.
    """
    declared = project.images.get(base)
    if declared is not None:
        return image_steps(declared, project, options, path)
    if problem := reference_error(base):
        raise InputError(f"image '{image.name}': base {base}: {problem[0]}", hint=problem[1], where=image.where)
    return _base_steps(base, image, project, options, path)


def _base_steps(
    name: str, image: ImageSpec, project: Project, options: BuildOptions, path: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps of an image that ``image`` begins from: a declared one that is built here, else the one at ``name``."""
    reference = normalized(name) if reference_error(name) is None else name
    for declared in project.images.values():
        if declared.ref is None and reference == local_name(declared):
            return image_steps(declared, project, options, path)
    base = ImageSpec(reference, image.where, ref=reference, pull=image.pull, tls_verify=image.tls_verify)
    return (_ref_step(base, reference, project, options, "base"),)


def _has_onbuild(step: Step) -> bool:
    stamp = try_load_state(step.targets[0])
    return stamp is not None and stamp.get("onbuild") is True


def _ref_step(image: ImageSpec, reference: str, project: Project, options: BuildOptions, verb: str) -> Step:
    if options.locked and "@" not in reference and not is_local(reference):
        raise InputError(
            f"{reference} may be another image tomorrow, and --locked was given",
            hint="name its digest, which ov image inspect shows: name@sha256:…",
            where=image.where,
        )
    asks = _asks(image, reference, options)
    target = named_stamp(project, verb, key_of(image))
    reason, reads = moved(target, reference, project)
    return Step(
        name=f"{verb}:@{key_of(image)}",
        inputs={"recipe": RECIPE, "image": reference, **demands(image)},
        targets=(target,),
        run=lambda ws: _pull(ws, image, reference, project, options, asks=asks is not None),
        title=f"container image {reference}",
        reads=reads,
        makes="base image" if verb == "base" else "container image",
        shared=True,
        refresh=asks or reason,
    )


def _asks(image: ImageSpec, reference: str, options: BuildOptions) -> str | None:
    """Why we ask the registry although the image may be here; None: we do not ask."""
    if image.pull is Pull.NEVER or is_local(reference):
        return None
    if image.pull in {Pull.ALWAYS, Pull.NEWER}:
        return f"pull: {image.pull} asks the registry at every build"
    return REFRESH if options.refresh else None


def _build_step(
    image: ImageSpec, looked: context.Context, project: Project, options: BuildOptions, bases: tuple[str, ...]
) -> Step:
    target = stamp_file(image, project)
    name = local_name(image)
    reason, reads = moved(target, name, project)
    return Step(
        name=f"image:@{key_of(image)}",
        inputs={"recipe": RECIPE, "image": name, **demands(image), **looked.inputs},
        targets=(target,),
        run=lambda ws: _build(ws, image, looked, project, options),
        title=f"container image {image.name}",
        needs=tuple(dict.fromkeys(bases)),
        reads=(*reads, *looked.reads),
        makes="container image",
        shared=True,
        refresh=reason,
        labels={"base": "base image"},
    )


def _pull(
    ws: Workspace, image: ImageSpec, reference: str, project: Project, options: BuildOptions, *, asks: bool
) -> None:
    engine = own()
    here = inspect(engine, reference)
    if here is None and (image.pull is Pull.NEVER or is_local(reference)):
        if image.pull is Pull.NEVER:
            why, hint = "it is never pulled", "pull: missing, or transport: registry, lets it be pulled"
        else:
            why, hint = (
                "no registry has names of localhost",
                "declare in image.yml how to build it, or correct the name",
            )
        raise OvError(f"{reference} is not in podman's storage, and {why}", hint=hint, where=image.where)
    if here is None or asks:
        shop = workshop(ws, engine, project, options)
        try:
            shop.pull(reference, tls_verify=image.tls_verify)
        except OvError as e:
            if here is None or image.pull is not Pull.NEWER:
                raise
            ws.progress.note(f"{reference} stays as it is here: {e.message.splitlines()[0]}")
        shop.done()
        here = inspect(engine, reference)
    if here is None:
        raise OvError(
            f"podman pulled {reference} and does not know it", hint="podman images shows what came", where=image.where
        )
    finish(ws, image, here, reference, None if is_local(reference) else reference)


def _build(ws: Workspace, image: ImageSpec, looked: context.Context, project: Project, options: BuildOptions) -> None:
    engine = own()
    before = try_load_state(ws.step.targets[0])
    shop = workshop(ws, engine, project, options)
    mounted = _mounted(ws, looked)
    cache = mounted is None or (before is not None and before.get("mounted") == mounted)
    made = shop.build(image, looked, local_name(image), pull=image.pull is not Pull.NEVER, cache=cache)
    shop.done()
    finish_build(ws, image, engine, made, mounted)


def _mounted(ws: Workspace, looked: context.Context) -> str | None:
    """A digest of what RUN --mount may read; None: nothing.

    podman reuses the layer of a RUN even if its mounts changed, so its cache may be used only while this digest is the
    same.
    """
    if looked.mounted is None:
        return None
    return digest([looked.mounted, {name: ws.needs[name].digest for name in ws.step.needs}])

"""The step ``image``: pulls or builds a container image into podman's storage. Its digest is the image ID.

The ID does not depend on how the image arrived. So if a pull or a build brings the same image again, later steps do not
run. Every run compares the ID of last time with the storage's own files: the step runs again if the image was removed,
or if its name now means another image. A build has one more step for each image that it begins from.
"""

from __future__ import annotations

import platform
from pathlib import Path

from ovtasks.containers import context
from ovtasks.containers.builder import LABELS, Found, Workshop, inspect
from ovtasks.containers.engine import Engine, own
from ovtasks.containers.storage import configuration, storage
from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.run import MissingProgramError
from ovtasks.host.state import try_load_state
from ovtasks.project.images import normalized, reference_error
from ovtasks.project.model import ImageSpec, Project, Pull
from ovtasks.sources.bootc.options import CONSOLE
from ovtasks.sources.disk import IMAGES
from ovtasks.values.arch import arch_of
from ovtasks.values.jsonvalue import Json, digest, state_text

RECIPE = 1
REFRESH = "asked for a newer image"
GONE = "is not in podman's storage any more"
"""A reason to run the step that ends like this means: nothing changed, only the image is missing."""


def image_steps(
    image: ImageSpec, project: Project, options: BuildOptions, path: tuple[str, ...] = ()
) -> tuple[Step, ...]:
    """The steps that bring ``image``; the last one is its own, with the facts of :func:`_finish`.

    ``path`` names the images that are built from this one, so that a circle is noticed.

    :raises InputError: the containerfile is missing or wrong, images are built from each other in a circle, or a name
        has no digest although ``options.locked`` demands one.
    """
    if image.ref is not None:
        return (_ref_step(image, image.ref, project, options, "image"),)
    if image.name in path:
        circle = " → ".join((*path[path.index(image.name) :], image.name))
        hint = "one of them must begin FROM another image"
        raise InputError(f"images are built from each other in a circle: {circle}", hint=hint, where=image.where)
    looked = _look(image, project, whole=False)
    bases = [_base_steps(name, image, project, options, (*path, image.name)) for name in looked.bases]
    if any(_has_onbuild(steps[-1]) for steps in bases):
        looked = _look(image, project, whole=True)
    before = {step.name: step for steps in bases for step in steps}
    return (*before.values(), _build_step(image, looked, project, options, tuple(steps[-1].name for steps in bases)))


def local_name(image: ImageSpec) -> str:
    """The name in podman's storage of an image that is built here."""
    return f"localhost/{image.name}:latest"


def podman_name(image: ImageSpec) -> str:
    """The name by which podman knows the image, pulled or built."""
    return image.ref or local_name(image)


def stamp_file(image: ImageSpec, project: Project) -> Path:
    """The file with what the last run found out about the image."""
    return _stamp_file(project, "image", _key(image))


def _stamp_file(project: Project, verb: str, key: str) -> Path:
    return project.output / IMAGES / f"container-{verb}-{key}.json"


def _key(image: ImageSpec) -> str:
    if image.ref is None:
        return digest({"built": image.name})[:16]
    return digest([image.ref, image.pull, image.tls_verify, image.bootc is True])[:16]


def _look(image: ImageSpec, project: Project, *, whole: bool) -> context.Context:
    machine = arch_of(platform.machine()).oci
    try:
        return context.read_context(image, project.output, project.state, machine, whole=whole)
    except InputError as e:
        e.where = e.where or image.where  # a missing stage has no place of its own
        raise


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
    if options.locked and "@" not in reference and not _is_local(reference):
        raise InputError(
            f"{reference} may be another image tomorrow, and --locked was given",
            hint="name its digest, which ov image inspect shows: name@sha256:…",
            where=image.where,
        )
    asks = _asks(image, reference, options)
    target = _stamp_file(project, verb, _key(image))
    reason, reads = _moved(target, reference, project)
    return Step(
        name=f"{verb}:@{_key(image)}",
        inputs={"recipe": RECIPE, "image": reference, **_demands(image)},
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
    if image.pull is Pull.NEVER or _is_local(reference):
        return None
    if image.pull in {Pull.ALWAYS, Pull.NEWER}:
        return f"pull: {image.pull} asks the registry at every build"
    return REFRESH if options.refresh else None


def _is_local(reference: str) -> bool:
    """Whether the name is one that podman gives to images made on this machine; no registry has it."""
    return reference.startswith("localhost/")


def _demands(image: ImageSpec) -> dict[str, Json]:
    return {"bootc": True} if image.bootc else {}


def _build_step(
    image: ImageSpec, looked: context.Context, project: Project, options: BuildOptions, bases: tuple[str, ...]
) -> Step:
    target = stamp_file(image, project)
    name = local_name(image)
    reason, reads = _moved(target, name, project)
    return Step(
        name=f"image:@{_key(image)}",
        inputs={"recipe": RECIPE, "image": name, **_demands(image), **looked.inputs},
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


def _moved(target: Path, name: str, project: Project) -> tuple[str | None, tuple[Path, ...]]:
    """Why the image must be brought again although its inputs are the same (None: it need not), and the files read."""
    stamp = try_load_state(target)
    if stamp is None:
        return None, ()
    try:
        place = storage(own(), project.state)
    except MissingProgramError:
        return None, ()  # nothing to compare with; the step that needs podman reports it
    reads = (place.index, *configuration())
    now = place.image_id(name)
    if now is None:
        return f"{name} {GONE}", reads
    return (f"{name} is another image now" if now != stamp.get("id") else None), reads


def workplace(project: Project) -> Path:
    """The folder of podman's temporary files while it pulls or builds."""
    return project.state / "podman"


def workshop(ws: Workspace, engine: Engine, project: Project, options: BuildOptions) -> Workshop:
    """The workshop for one run of one step."""
    name = ws.step.name
    return Workshop(
        engine,
        storage(engine, project.state),
        workplace(project) / name.partition("@")[2],
        project.state / "logs" / f"{name}.log",
        ws.progress,
        options[CONSOLE],
    )


def _pull(
    ws: Workspace, image: ImageSpec, reference: str, project: Project, options: BuildOptions, *, asks: bool
) -> None:
    engine = own()
    here = inspect(engine, reference)
    if here is None and (image.pull is Pull.NEVER or _is_local(reference)):
        if image.pull is Pull.NEVER:
            why, hint = "it is never pulled", "pull: missing, or transport: registry, lets it be pulled"
        else:
            why, hint = (
                "no registry has names of localhost",
                "declare in image.yml how it is built, or correct the name",
            )
        raise OvError(f"{reference} is not in podman's storage, and {why}", hint=hint)
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
        raise OvError(f"podman pulled {reference} and does not know it", hint="podman images shows what came")
    _finish(ws, image, here, reference, None if _is_local(reference) else reference)


def _build(ws: Workspace, image: ImageSpec, looked: context.Context, project: Project, options: BuildOptions) -> None:
    engine = own()
    before = try_load_state(ws.step.targets[0])
    shop = workshop(ws, engine, project, options)
    mounted = _mounted(ws, looked)
    cache = mounted is None or (before is not None and before.get("mounted") == mounted)
    made = shop.build(image, looked, local_name(image), pull=image.pull is not Pull.NEVER, cache=cache)
    shop.done()
    found = inspect(engine, made)
    if found is None:
        raise OvError(f"podman built {local_name(image)} and does not know it", hint="podman images shows what came")
    _finish(ws, image, found, local_name(image), None, mounted)
    if before is not None and before.get("id") != found.id:
        _remove_nameless(engine, str(before.get("id")))


def _mounted(ws: Workspace, looked: context.Context) -> str | None:
    """A digest of what RUN --mount may read; None: nothing.

    podman reuses the layer of a RUN even if its mounts changed, so its cache may be used only while this digest is the
    same.
    """
    if looked.mounted is None:
        return None
    return digest([looked.mounted, {name: ws.needs[name].digest for name in ws.step.needs}])


def _remove_nameless(engine: Engine, image_id: str) -> None:
    """Remove the image that the new one replaced, unless it has another name or a container uses it."""
    old = inspect(engine, image_id)
    if old is not None and not old.names:
        engine.run("image", "rm", image_id, check=False)


def _finish(
    ws: Workspace, image: ImageSpec, found: Found, name: str, target: str | None, mounted: str | None = None
) -> None:
    """Check the image and write the stamp file. ``target`` is where later upgrades look for it; None: nowhere.

    :raises InputError: the spec wants a bootc image, and this one lacks the label.
    """
    if image.bootc and found.bootc_label is None:
        raise InputError(
            f"image '{image.name}' carries no label of bootc images ({' or '.join(f'{label}=1' for label in LABELS)})",
            hint="LABEL containers.bootc=1 in its containerfile, or remove bootc: true",
            where=image.where,
        )
    facts: dict[str, Json] = {
        "id": found.id,
        "name": name,
        "digest": found.digest,
        "names": list(found.names),
        "size": found.size,
        "created": found.created,
        "architecture": found.architecture,
        "bootc": found.bootc_label,
        "onbuild": found.onbuild,
        "target": target,
    }
    if mounted is not None:
        facts["mounted"] = mounted
    (file,) = ws.step.targets
    ws.write(file, state_text(facts))
    ws.commit(file, digest=f"sha256:{found.id}")
    for key, value in facts.items():
        ws.fact(key, value)

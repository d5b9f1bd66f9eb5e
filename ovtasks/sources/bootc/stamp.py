"""The stamp of a container image: what the last run found out about it, and whether that is still so."""

from __future__ import annotations

from pathlib import Path

from ovtasks.containers.builder import LABELS, Found, Workshop, inspect
from ovtasks.containers.engine import Engine, own
from ovtasks.containers.storage import configuration, storage
from ovtasks.errors import InputError, OvError
from ovtasks.graph.step import BuildOptions, Workspace
from ovtasks.host.run import MissingProgramError
from ovtasks.host.state import try_load_state
from ovtasks.project.model import ImageSpec, Project
from ovtasks.sources.console import CONSOLE
from ovtasks.sources.disk import IMAGES
from ovtasks.values.jsonvalue import Json, digest, state_text

GONE = "is not in podman's storage any more"
"""A reason to run the step that ends like this means: nothing changed, only the image is missing."""


def local_name(image: ImageSpec) -> str:
    """The name in podman's storage of an image that is built here."""
    return f"localhost/{image.name}:latest"


def podman_name(image: ImageSpec) -> str:
    """The name by which podman knows the image, pulled or built."""
    return image.ref or local_name(image)


def stamp_file(image: ImageSpec, project: Project) -> Path:
    """The file with what the last run found out about the image."""
    return named_stamp(project, "image", key_of(image))


def named_stamp(project: Project, verb: str, key: str) -> Path:
    """The stamp file of a step ``verb`` for the image with this key."""
    return project.output / IMAGES / f"container-{verb}-{key}.json"


def key_of(image: ImageSpec) -> str:
    """What the names of an image's steps and files hold: 16 hexadecimal digits."""
    if image.ref is None:
        return digest({"built": image.name})[:16]
    return digest([image.ref, image.pull, image.tls_verify, image.bootc is True])[:16]


def is_local(reference: str) -> bool:
    """Whether the name is one that podman gives to images made on this machine; no registry has it."""
    return reference.startswith("localhost/")


def demands(image: ImageSpec) -> dict[str, Json]:
    """What the spec demands of the image, as inputs of its step."""
    return {"bootc": True} if image.bootc else {}


def moved(target: Path, name: str, project: Project) -> tuple[str | None, tuple[Path, ...]]:
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
        ws.progress,
        options[CONSOLE],
    )


def remove_nameless(engine: Engine, image_id: str) -> None:
    """Remove the image that the new one replaced, unless it has another name or a container uses it."""
    old = inspect(engine, image_id)
    if old is not None and not old.names:
        engine.run("image", "rm", image_id, check=False)


def finish_build(ws: Workspace, image: ImageSpec, engine: Engine, built: str, mounted: str | None = None) -> None:
    """:func:`finish` for the image ``built`` (its ID), and remove the one that it replaced.

    :raises OvError: podman does not know it. :raises InputError: as :func:`finish`.
    """
    before = try_load_state(ws.step.targets[0])
    name = local_name(image)
    found = inspect(engine, built)
    if found is None:
        hint = "podman images shows what came"
        raise OvError(f"podman built {name} and does not know it", hint=hint, where=image.where)
    finish(ws, image, found, name, None, mounted)
    if before is not None and before.get("id") != found.id:
        remove_nameless(engine, str(before.get("id")))


def finish(
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

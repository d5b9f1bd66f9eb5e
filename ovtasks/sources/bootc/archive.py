"""``image`` of the transports that are files: loaded into podman's storage under a name of our own."""

from __future__ import annotations

import hashlib

from ovtasks.containers.engine import Engine, own
from ovtasks.containers.storage import storage
from ovtasks.containers.transports import Archive
from ovtasks.containers.trouble import explain
from ovtasks.errors import OvError
from ovtasks.graph.step import Step
from ovtasks.graph.workspace import Workspace
from ovtasks.host.run import CommandError
from ovtasks.images.records import read_record, record_text
from ovtasks.jsonvalue import Json
from ovtasks.sources.disk import IMAGES
from ovtasks.spec.model import Project

RECIPE = 1
SECONDS = 3600.0
GONE = "the image is not in podman's storage any more"


def archive_step(archive: Archive, project: Project) -> Step:
    """Load ``archive``; its digest is the image ID, which is the same whatever the image came by."""
    key = hashlib.sha256(archive.reference.encode()).hexdigest()[:16]
    name = f"localhost/ovtasks/archive:{key}"
    target = project.output / IMAGES / f"container-{key}.json"

    def run(ws: Workspace) -> None:
        engine = own()
        try:
            loaded = engine.run("pull", "--quiet", archive.reference, timeout=SECONDS).stdout.split()
            if not loaded:
                raise OvError(f"podman loaded {archive.reference} and does not say what it is called")
            engine.run("tag", loaded[-1], name)
        except CommandError as e:
            raise explain(e, f"{archive.path} cannot be loaded") from e
        size = image_size(engine, name)
        facts: dict[str, Json] = {"id": loaded[-1].removeprefix("sha256:"), "name": name, "size": size, "target": None}
        ws.part(target).write_text(record_text(facts), encoding="utf-8")
        ws.commit(target, digest=f"sha256:{facts['id']}")
        for fact, value in facts.items():
            ws.fact(fact, value)

    place = storage(own(), project.state)
    known = read_record(target)
    return Step(
        name=f"image:@{key}",
        inputs={"recipe": RECIPE, "archive": archive.reference, "content": archive.signature()},
        targets=(target,),
        run=run,
        title=f"container image {archive.path.name}",
        reads=(archive.watched, place.index),
        makes="container image",
        shared=True,
        refresh=GONE if known is not None and place.image_id(name) != known.get("id") else None,
    )


def image_size(engine: Engine, image: str) -> int:
    """Bytes that an image takes unpacked."""
    said = engine.run("image", "inspect", "--format", "{{.Size}}", image).stdout.strip()
    return int(said) if said.isdigit() else 0

"""``image`` of the transports that are files: loaded into podman's storage under a name of our own."""

from __future__ import annotations

import hashlib

from ovtasks.containers.engine import Engine, own
from ovtasks.containers.storage import storage
from ovtasks.containers.transports import Archive
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.graph.workspace import Workspace
from ovtasks.host.state import recall
from ovtasks.images.records import record_text
from ovtasks.jsonvalue import Json
from ovtasks.sources.bootc.image import GONE, workshop
from ovtasks.sources.disk import IMAGES
from ovtasks.spec.model import Project

RECIPE = 1


def archive_step(archive: Archive, project: Project, options: BuildOptions) -> Step:
    """Load ``archive``; its digest is the image ID, which is the same whatever the image came by."""
    key = hashlib.sha256(archive.reference.encode()).hexdigest()[:16]
    name = f"localhost/ovtasks/archive:{key}"
    target = project.output / IMAGES / f"container-{key}.json"

    def run(ws: Workspace) -> None:
        engine = own()
        shop = workshop(ws, engine, project, options)
        image_id = shop.load(archive)
        shop.done()
        engine.run("tag", image_id, name)
        size = image_size(engine, name)
        facts: dict[str, Json] = {"id": image_id, "name": name, "size": size, "target": None}
        ws.write(target, record_text(facts))
        ws.commit(target, digest=f"sha256:{facts['id']}")
        for fact, value in facts.items():
            ws.fact(fact, value)

    place = storage(own(), project.state)
    known = recall(target)
    return Step(
        name=f"image:@{key}",
        inputs={"recipe": RECIPE, "archive": archive.reference, "content": archive.signature()},
        targets=(target,),
        run=run,
        title=f"container image {archive.path.name}",
        reads=(archive.watched, place.index),
        makes="container image",
        shared=True,
        refresh=f"the image {GONE}" if known is not None and place.image_id(name) != known.get("id") else None,
    )


def image_size(engine: Engine, image: str) -> int:
    """Bytes that an image takes unpacked."""
    said = engine.run("image", "inspect", "--format", "{{.Size}}", image).stdout.strip()
    return int(said) if said.isdigit() else 0

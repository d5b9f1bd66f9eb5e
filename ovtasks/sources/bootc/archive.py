"""The step ``image`` for transports that are files: loads the archive into podman's storage under our own name."""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path

from ovtasks.containers.context import RACY_NS
from ovtasks.containers.engine import Engine, own
from ovtasks.containers.storage import storage
from ovtasks.containers.transports import Archive
from ovtasks.errors import OvError
from ovtasks.graph.content import digest_of
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.files import write_atomic
from ovtasks.host.run import MissingProgramError
from ovtasks.host.state import try_load_state
from ovtasks.project.model import Project
from ovtasks.sources.bootc.stamp import GONE, workshop
from ovtasks.sources.disk import IMAGES
from ovtasks.values.jsonvalue import Json, canonical, state_text

RECIPE = 1


def archive_step(archive: Archive, project: Project, options: BuildOptions) -> Step:
    """The step that loads ``archive``. Its digest is the image ID, which does not depend on how the image arrived."""
    reference = _inside(archive, project)
    key = hashlib.sha256(reference.encode()).hexdigest()[:16]
    name = f"localhost/ovtasks/archive:{hashlib.sha256(archive.reference.encode()).hexdigest()[:16]}"
    target = project.output / IMAGES / f"container-{key}.json"

    def run(ws: Workspace) -> None:
        engine = own()
        shop = workshop(ws, engine, project, options)
        image_id = shop.load(archive)
        shop.done()
        engine.run("tag", image_id, name)
        size = image_size(engine, name)
        facts: dict[str, Json] = {"id": image_id, "name": name, "size": size, "target": None}
        ws.write(target, state_text(facts))
        ws.commit(target, digest=f"sha256:{facts['id']}")
        for fact, value in facts.items():
            ws.fact(fact, value)

    reason, reads = _gone(target, name, project)
    return Step(
        name=f"image:@{key}",
        inputs={"recipe": RECIPE, "archive": reference, "content": _content(archive, project.state / "archives" / key)},
        targets=(target,),
        run=run,
        title=f"container image {archive.path.name}",
        reads=(archive.index_file, *reads),
        makes="container image",
        shared=True,
        refresh=reason,
    )


def _inside(archive: Archive, project: Project) -> str:
    """The archive as podman takes it. Inside the project its path is relative, so that the project can be moved."""
    path = archive.path
    return archive.at(f"./{path.relative_to(project.root)}" if path.is_relative_to(project.root) else str(path))


def _gone(target: Path, name: str, project: Project) -> tuple[str | None, tuple[Path, ...]]:
    """Why the image must be loaded again although the archive is the same (None: it need not), and the files read."""
    try:
        place = storage(own(), project.state)
    except MissingProgramError:
        return None, ()  # nothing to compare with; the step that needs podman reports it
    known = try_load_state(target)
    same = known is None or place.image_id(name) == known.get("id")
    return (None if same else f"the image {GONE}"), (place.index,)


def _content(archive: Archive, memo: Path) -> Json:
    """What is in the files; None: they cannot be read.

    An archive may be gigabytes: it is read once, and again only when ``stat`` says that it may have changed.
    """
    if archive.index_file != archive.path:
        return archive.signature()
    try:
        now = archive.path.stat()
        times: list[Json] = [now.st_size, now.st_mtime_ns, now.st_ino, now.st_ctime_ns]
        known = try_load_state(memo)
        if known is not None and known.get("stat") == times:
            return known.get("digest")
        began = time.time_ns()
        digest = digest_of(archive.path)
    except OSError:
        return None
    if began - now.st_ctime_ns > RACY_NS:
        with contextlib.suppress(OSError, OvError):  # without the memo the next run reads it again
            write_atomic(memo, canonical({"stat": times, "digest": digest}))
    return digest


def image_size(engine: Engine, image: str) -> int:
    """The size of an unpacked image in bytes; 0: podman does not say."""
    said = engine.run("image", "inspect", "--format", "{{.Size}}", image).stdout.strip()
    return int(said) if said.isdigit() else 0

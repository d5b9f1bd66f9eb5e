"""The chain of a vendor's image: fetch it, verify it, make an overlay on it, add the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import InputError
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.project.model import Checksum, CloudImageSource, Project, VmSpec
from ovtasks.project.official import is_named
from ovtasks.sources.console import CONSOLE
from ovtasks.sources.disk import IMAGES, base_facts, disk_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.values.hidden import Input
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.images.request import ImageRequest

RECIPE = 1
LATEST = "asked to look for a newer image"
CONSOLE_HINT = (
    "most of these images talk on the serial port as they come: ov vm console, ov vm logs. For others a command in "
    "cloud_init.bootcmd can add console=ttyS0 to the guest's own boot loader (update-grub, grubby), for its next boot"
)


def cloud_image_steps(vm: VmSpec, project: Project, options: BuildOptions) -> Sequence[Step]:
    """``fetch → verify → disk``, and the seed; VMs with the same URL and checksum share ``fetch`` and ``verify``.

    :raises InputError: ``options.locked`` is set, and the URL is not in ``ovtasks.lock``; or ``--console`` was given.
    """
    if options[CONSOLE]:
        message = f"--console cannot be had for {vm.name}: the kernel command line of a cloud image is inside its disk"
        raise InputError(f"{message}, which ov uses unchanged", hint=CONSOLE_HINT, where=vm.where)
    fetch, verify = image_steps(vm, project, options)
    disk = disk_step(vm, project, options, base=verify.name)
    key = key_step(vm)
    return [fetch, verify, disk, *([key] if key else []), seed_step(vm, project, options.type, disk.name)]


def image_steps(vm: VmSpec, project: Project, options: BuildOptions) -> tuple[Step, Step]:
    """The steps ``fetch`` and ``verify``.

    ``fetch`` hashes the bytes while they arrive; ``verify`` compares the digest and gives the file its final name. A
    project keeps the images that it is built from in its own ``output/.images/``, so a refresh in another project does
    not change it.
    """
    source = vm.source
    assert isinstance(source, CloudImageSource)
    request = _request(vm, source, project, options)
    key = _inside(request, project.root).key
    folder = project.output / IMAGES
    reads = tuple(path for path in (source.checksum.keyring, project.lock_file) if path)
    fetch = Step(
        name=f"fetch:@{key}",
        inputs=_fetch_inputs(request, project),
        targets=(folder / f"{key}.fetched.json",),
        run=lambda workspace: _fetch(workspace, request, refresh=options.refresh),
        title=f"fetch {_short_url(source.url)}",
        reads=reads,
        makes="downloaded file",
        shared=True,
        refresh=LATEST if options.refresh else None,
    )
    verify = Step(
        name=f"verify:@{key}",
        inputs={"recipe": RECIPE, "keyring": _keyring_digest(source.checksum)},
        targets=(folder / f"{key}.json",),
        run=lambda workspace: _verify(workspace, request, fetch, project),
        title=f"verify {_short_url(source.url)}",
        needs=(fetch.name,),
        reads=reads,
        makes="base image",
        shared=True,
        labels={fetch.verb: "downloaded file"},
    )
    return fetch, verify


def _request(vm: VmSpec, source: CloudImageSource, project: Project, options: BuildOptions) -> ImageRequest:
    """What to fetch, with its pin of ``ovtasks.lock``.

    :raises InputError: ``options.locked`` is set, and the URL is not in ``ovtasks.lock``.
    """
    from ovtasks.images.lockfile import read_lock
    from ovtasks.images.request import locked_as, public, request_of

    pin = read_lock(project.lock_file).get(locked_as(source, project.root))
    if options.locked and pin is None:
        shown = source.official if is_named(source) else public(source.url)
        raise InputError(
            f"{shown} is not pinned in {project.lock_file.name}, and --locked was given",
            hint=f"ov lock adds it; the file belongs in version control: {project.lock_file}",
            where=vm.where,
        )
    return request_of(source, pin)


def _fetch_inputs(request: ImageRequest, project: Project) -> dict[str, Input]:
    from ovtasks.images.request import shown_url

    inside = _inside(request, project.root)
    checksum = inside.checksum
    return {
        "recipe": RECIPE,
        "url": shown_url(inside.url),
        "checksum": {
            "type": checksum.type,
            "value": checksum.value,
            **({"url": shown_url(checksum.url)} if checksum.url else {}),
        },
        "pinned": request.pin.sha256 if request.pin else None,
    }


def _fetch(workspace: Workspace, request: object, *, refresh: bool) -> None:
    from ovtasks.host.state import try_load_state
    from ovtasks.images.fetch import fetch, revalidate
    from ovtasks.images.provenance import Fetched
    from ovtasks.images.request import ImageRequest
    from ovtasks.values.jsonvalue import state_text

    assert isinstance(request, ImageRequest)
    target = workspace.step.targets[0]
    known = try_load_state(target) if refresh else None
    if known is not None:
        fetched = revalidate(request, Fetched.from_json(known), workspace.progress)
    else:
        fetched = fetch(request, workspace.progress)
    workspace.write(target, state_text(fetched.to_json()))
    workspace.commit(target, digest=f"sha256:{fetched.sha256}")
    workspace.fact("fetched", fetched.to_json())
    workspace.fact("fetched_epoch", datetime.fromisoformat(fetched.fetched_at).timestamp())


def _verify(workspace: Workspace, request: object, fetch: Step, project: Project) -> None:
    from ovtasks.images.inspection import UnfitError
    from ovtasks.images.provenance import Fetched
    from ovtasks.images.request import ImageRequest
    from ovtasks.images.store import Store
    from ovtasks.images.verify import verify
    from ovtasks.values.jsonvalue import state_text

    assert isinstance(request, ImageRequest)
    known = workspace.needs[fetch.name].facts["fetched"]
    assert isinstance(known, Mapping)
    fetched, target = Fetched.from_json(known), workspace.step.targets[0]
    settled = _built_from(target) == fetched.sha256
    copies = _copies(project, fetched.content_sha256)
    try:
        verified = verify(request, fetched, workspace.progress, settled=settled, copies=copies)
    except UnfitError:
        _unfinished(fetch)
        raise
    if verified.source_sha256 != fetched.sha256:  # that download is gone, and nothing was built from it
        _unfinished(fetch)
    for note in verified.notes:
        workspace.progress.note(note)
    link = project.output / IMAGES / f"{verified.sha256}.{verified.format}"
    Store(request.store).link(verified.sha256, link)
    workspace.write(target, state_text(verified.to_json()))
    workspace.commit(target, digest=f"sha256:{verified.sha256}")
    workspace.also(link, digest=f"sha256:{verified.sha256}")
    base_facts(workspace, verified.sha256, verified.format, verified.virtual_size, link.relative_to(project.root))


def _built_from(provenance: Path) -> Json:
    """The digest of the download that this project's image was made from; None: there is none yet."""
    from ovtasks.host.state import try_load_state

    return (try_load_state(provenance) or {}).get("source_sha256")


def _copies(project: Project, sha256: str) -> list[Path]:
    """Files of this project that may hold the content, in case the store lost it."""
    links = project.output.glob(f"{IMAGES}/{sha256}.*")
    return [
        *(path for path in links if not path.name.endswith(".json")),
        *project.output.glob(f"*/base-{sha256[:12]}.*"),
    ]


def _unfinished(fetch: Step) -> None:
    """Make ``fetch`` run again, because its download will not be used. The receipt goes first: it decides freshness."""
    fetch.receipt.unlink(missing_ok=True)
    fetch.targets[0].unlink(missing_ok=True)


def _keyring_digest(checksum: Checksum) -> str | None:
    """The digest of the keyring's content, which decides, not its name. A missing file is reported when it is used.

    Of a keyring that is fetched, the fingerprints decide.
    """
    from ovtasks.graph.receipt import sha256_of

    keyring = checksum.keyring
    if keyring is None:
        return " ".join(checksum.fingerprints) or None
    return sha256_of(keyring) if keyring and keyring.is_file() else None


def _inside(request: ImageRequest, root: Path) -> ImageRequest:
    """The request with relative names for the project's own files, so that the project can be moved."""
    from ovtasks.images.request import lock_name

    checksum = request.checksum
    if checksum.keyring is not None and checksum.keyring.is_relative_to(root):
        checksum = replace(checksum, keyring=checksum.keyring.relative_to(root))
    if checksum.url is not None:
        checksum = replace(checksum, url=lock_name(checksum.url, root))
    request = replace(request, checksum=checksum)
    return request if request.local is None else replace(request, url=lock_name(request.url, root))


def _short_url(url: str) -> str:
    from ovtasks.images.request import public

    return public(url).rpartition("/")[2] or public(url)

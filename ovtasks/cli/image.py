"""``ov image``: build, pull, list and inspect the container images of image.yml."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovtasks.cli.build import run_goals
from ovtasks.cli.common import note, open_project, output_json
from ovtasks.cli.plan import ago
from ovtasks.cli.table import table
from ovtasks.errors import EXIT_DONE, InputError, OvError
from ovtasks.graph.chains import IMAGE, Graph
from ovtasks.graph.receipt import Receipt
from ovtasks.project.model import BootcSource, ImageSpec, Project, Pull
from ovtasks.project.places import display
from ovtasks.values.sizes import MiB

if TYPE_CHECKING:
    from ovtasks.containers.builder import Found
    from ovtasks.containers.contents import Contents

NAMES = "an image of image.yml, or a VM for its image"


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov image build``."""
    parser.description = (
        "Build the named images if they are stale (default: all with a containerfile). Print each one's name and ID."
    )
    parser.add_argument("images", nargs="*", metavar="NAME", help=NAMES)
    parser.add_argument("--refresh", action="store_true", help="ask the registries for newer base images first")
    _add_bringing(parser)
    parser.set_defaults(run=run_build)


def pull_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov image pull``."""
    parser.description = (
        "Ask the registries for the named images (default: all with a ref), pull newer and missing "
        "ones, and print each one's name and ID."
    )
    parser.add_argument("images", nargs="*", metavar="NAME", help=NAMES)
    _add_bringing(parser)
    parser.set_defaults(run=run_pull, refresh=True)


def _add_bringing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--locked", action="store_true", help="fail unless every image has a digest in its name")
    parser.add_argument("--console", action="store_true", help="show podman's output")


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov image list``."""
    parser.description = "List the images of image.yml and of the VMs."
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov image inspect``."""
    parser.description = "Show everything about one image in podman's storage, and whether bootc can install it."
    parser.add_argument("image", metavar="NAME", help=f"{NAMES}, or a full reference")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_inspect)


def run_build(args: argparse.Namespace) -> int:
    """Build through doit."""
    project = open_project(args, _owners(args))
    chosen = _chosen(args, project, built=True)
    for goal, image in chosen.items():
        if image.ref is not None:
            name = goal.removeprefix(IMAGE)
            hint = f"ov image pull {name}"
            raise InputError(f"image '{name}' is not built here: it is {image.ref}", hint=hint, where=image.where)
    return _run(args, project, chosen)


def run_pull(args: argparse.Namespace) -> int:
    """Pull through doit."""
    project = open_project(args, _owners(args))
    chosen = _chosen(args, project, built=False)
    for goal, image in chosen.items():
        name = goal.removeprefix(IMAGE)
        if image.ref is None:
            hint = f"ov image build {name} --refresh asks for newer base images"
            raise InputError(f"image '{name}' is built here, not pulled", hint=hint, where=image.where)
        if image.pull is Pull.NEVER:
            raise InputError(
                f"image '{name}' says pull: never", hint="remove that, or podman pull it", where=image.where
            )
    return _run(args, project, chosen)


def _owners(args: argparse.Namespace) -> list[str]:
    return [word for name in args.images for word in (f"{IMAGE}{name}", name)]


def _chosen(args: argparse.Namespace, project: Project, *, built: bool) -> dict[str, ImageSpec]:
    """The images that were named, by the goals that bring them; without names all of one kind.

    :raises InputError: a name is neither an image nor a bootc VM, or there are none of that kind.
    """
    if args.images:
        return {f"{IMAGE}{name}": _named(name, project) for name in dict.fromkeys(args.images)}
    images = {f"{IMAGE}{name}": image for name, image in project.images.items() if (image.ref is None) is built}
    if not images:
        what = "containerfile" if built else "ref"
        raise InputError(f"no image with a {what} is declared in {project.root}", hint="they stand in image.yml")
    return images


def _named(name: str, project: Project) -> ImageSpec:
    """A declared image, or that of a VM."""
    from ovtasks.project.images import image_of
    from ovtasks.project.load import unknown_image

    if name in project.images:
        return project.images[name]
    vm = project.vms.get(name)
    if vm is None:
        raise unknown_image(name, project)
    if not isinstance(vm.source, BootcSource):
        hint = f"its source is {vm.source.kind}; only bootc VMs are made from a container image"
        raise InputError(f"VM '{name}' has no container image", hint=hint, where=vm.where)
    return image_of(vm, project)


def _run(args: argparse.Namespace, project: Project, chosen: Mapping[str, ImageSpec]) -> int:
    given = {name: True for name in ("refresh", "locked", "console") if getattr(args, name)}
    goals = [word for goal in chosen for word in (goal, *(f"--{name}" for name in given))]
    graph = Graph(project)
    for goal in chosen:
        name = goal.removeprefix(IMAGE)
        graph.options.set(goal if name in project.images else name, given)
        graph.find(goal)  # reports errors of the image before anything runs
    code = run_goals(graph, goals, quiet=args.quiet)
    if code == EXIT_DONE:
        for goal in chosen:
            receipt = Receipt.load(graph.find(goal).receipt)
            facts = receipt.facts if receipt is not None else {}
            print(f"{facts.get('name')} sha256:{facts.get('id')}")
    return code


def run_list(args: argparse.Namespace) -> int:
    """Print one line per image."""
    from ovtasks.containers.builder import inspect
    from ovtasks.containers.engine import own
    from ovtasks.sources.bootc.stamp import podman_name

    project = open_project(args)
    users = _users(project)
    images = {**project.images, **{image.name: image for image in users.values()}}
    engine = own() if images else None
    found = {name: inspect(engine, podman_name(image)) if engine else None for name, image in images.items()}
    vms = {name: [vm for vm, image in users.items() if image.name == name] for name in images}
    if args.json:
        output_json([_facts(images[name], found[name], vms[name]) for name in images])
    elif images:
        rows = [_row(images[name], found[name], vms[name]) for name in images]
        sys.stdout.write(table(("NAME", "FROM", "ID", "SIZE", "CREATED", "BOOTC", "VMS"), rows))
    else:
        note(args).note("no images are declared; they stand in image.yml")
    return EXIT_DONE


def _users(project: Project) -> dict[str, ImageSpec]:
    """The images of bootc VMs, by VM; without VMs that name no image (a build reports those)."""
    from ovtasks.project.images import REFERENCES, image_of

    users: dict[str, ImageSpec] = {}
    for name, vm in project.vms.items():
        if isinstance(vm.source, BootcSource) and vm.source.transport in REFERENCES:
            try:
                users[name] = image_of(vm, project)
            except InputError:
                continue
    return users


def _facts(image: ImageSpec, found: Found | None, vms: Sequence[str]) -> dict[str, Any]:
    """One image as JSON data; the size in bytes."""
    from ovtasks.sources.bootc.stamp import podman_name

    return {
        "name": image.name,
        "reference": podman_name(image),
        "containerfile": str(image.containerfile) if image.containerfile else None,
        "context": str(image.context) if image.context else None,
        "pull": str(image.pull),
        "present": found is not None,
        "id": f"sha256:{found.id}" if found else None,
        "digest": found.digest if found else None,
        "names": list(found.names) if found else [],
        "size": found.size if found else None,
        "created": found.created if found else None,
        "bootc": found.bootc_label if found else None,
        "vms": list(vms),
    }


def _row(image: ImageSpec, found: Found | None, vms: Sequence[str]) -> tuple[str, ...]:
    origin = image.ref or display(image.containerfile or image.context or Path())
    if found is None:
        return (image.name, origin, "-", "-", "-", "-", ", ".join(vms) or "-")
    bootc = "yes" if found.bootc_label else "no label"
    return (
        image.name,
        origin,
        found.id[:12],
        size_text(found.size),
        age(found.created),
        bootc,
        ", ".join(vms) or "-",
    )


def size_text(size: int) -> str:
    """A size in bytes, rounded for people."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / MiB:.1f} MiB"


def age(created: str) -> str:
    """``3 days ago``; ``-`` if ``created`` is not a time."""
    try:
        return ago(time.time() - datetime.fromisoformat(created).timestamp())
    except ValueError:
        return "-"


def run_inspect(args: argparse.Namespace) -> int:
    """Print what podman, the labels and the files in the image say."""
    from ovtasks.containers.builder import inspect
    from ovtasks.containers.contents import contents
    from ovtasks.containers.engine import own
    from ovtasks.project.images import is_full
    from ovtasks.sources.bootc.stamp import podman_name

    project = open_project(args)
    if is_full(args.image):
        image, name = None, args.image
    else:
        image = _named(args.image, project)
        name = podman_name(image)
    engine = own()
    found = inspect(engine, name)
    if found is None:
        verb = "podman pull" if image is None else "ov image pull" if image.ref else "ov image build"
        raise OvError(f"{name} is not in podman's storage", hint=f"{verb} {args.image}")
    inside = contents(engine, found.id)
    users = _users(project)
    vms = [vm for vm, other in users.items() if podman_name(other) == name]
    if args.json:
        spec = image or ImageSpec(name, project.vms[vms[0]].where, ref=name) if vms else image
        declared = _facts(spec, found, vms) if spec else {"reference": name, "present": True, "vms": vms}
        output_json({**declared, **_inside(found, inside)})
    else:
        sys.stdout.write(_text(name, found, inside, vms))
    return EXIT_DONE


def _inside(found: Found, inside: Contents) -> dict[str, Any]:
    return {
        "platform": f"{found.os}/{found.architecture}",
        "labels": dict(found.labels),
        "bootc": found.bootc_label,
        "bootc_version": inside.bootc,
        "installable": inside.bootc is not None,
        "kernel": found.labels.get("ostree.linux") or (inside.kernels[-1] if inside.kernels else None),
    }


def verdict(found: Found, inside: Contents) -> str:
    """Whether bootc can install it, in words."""
    if inside.bootc is None:
        label = f" although it says {found.bootc_label}" if found.bootc_label else ""
        return f"no: there is no program bootc in it{label}; no VM can be made from it"
    if found.bootc_label is None:
        return f"{inside.bootc}, but it carries no label of bootc images (containers.bootc=1)"
    return f"yes: {inside.bootc}, {found.bootc_label}"


def _text(name: str, found: Found, inside: Contents, vms: Sequence[str]) -> str:
    kernel = _inside(found, inside)["kernel"]
    rows = [
        ("id", f"sha256:{found.id}"),
        ("digest", found.digest or "-"),
        ("names", ", ".join(found.names) or "-"),
        ("created", f"{found.created} ({age(found.created)})"),
        ("size", size_text(found.size)),
        ("platform", f"{found.os}/{found.architecture}"),
        ("bootc", verdict(found, inside)),
        ("kernel", str(kernel) if kernel else "none: it does not boot"),
        ("VMs", ", ".join(vms) or "-"),
        *((f"label {key}", value) for key, value in sorted(found.labels.items())),
    ]
    width = max(len(key) for key, _ in rows)
    return f"{name}\n" + "".join(f"  {key:<{width}}  {value}\n" for key, value in rows)

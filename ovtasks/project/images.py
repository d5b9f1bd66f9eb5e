"""Entries of ``images:``: their rules, their :class:`ImageSpec`, and the image that a bootc VM is made from.

References are those of podman and Docker (grammar: the reference package of the distribution project), but must name
their registry: what a short name means differs between machines (registries.conf decides).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, Where
from ovtasks.project.declared import DeclaredImage, DeclaredVm
from ovtasks.project.expand import expand, expand_path, variables
from ovtasks.project.model import BootcSource, ImageSpec, Project, Pull, VmSpec
from ovtasks.values.words import did_you_mean, shown

MAX_NAME = 60
NAME_RULE = f"an image's name is a-z and 0-9, with single . or _ or hyphens between, at most {MAX_NAME} characters"
BUILD_KEYS = ("containerfile", "context", "build_args", "target")
LAYER_KEYS = ("base", "layers", "layer", "user", "skip_incompatible")
PATH_KEYS = ("containerfile", "context")
REFERENCES = frozenset({"registry", "containers-storage"})
"""Transports for which ``source.image`` is a reference, not a path."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)
_NAME = re.compile(_COMPONENT, re.ASCII)
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)


def reference_error(text: str) -> tuple[str, str] | None:
    """Message and hint for a wrong image reference; None for a good one."""
    found = _REFERENCE.fullmatch(text)
    if found and ({".", ":", "["} & {*found["domain"]} or found["domain"] == "localhost"):
        return None
    if "://" in text:
        return "a reference has no transport", f"leave {text.partition('://')[0]}:// out"
    name, at, digest = text.partition("@")
    if at and not re.fullmatch(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", digest, re.ASCII):
        return f"{shown(digest)} is not a digest", "sha256: and 64 hex digits; podman image inspect shows it"
    if name != name.lower() and _REFERENCE.fullmatch(name.partition(":")[0].lower()):
        return "the name holds capital letters", "names of images are in lower case"
    if found or _REFERENCE.fullmatch(f"docker.io/library/{text}"):
        path = text if "/" in text else f"library/{text}"
        return "no registry is named", f"docker.io/{path}, quay.io/{text} or localhost/{text}?"
    return "it is not an image reference", "for example quay.io/fedora/fedora-bootc:42"


def is_full(text: str) -> bool:
    """Whether ``text`` is meant as a reference, because it cannot be the name of an ``images:`` entry."""
    return bool({"/", ":", "@"} & {*text})


def normalized(reference: str) -> str:
    """The reference with its default tag filled in. If it has a tag and a digest, the digest counts."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        return reference
    name = f"{found['domain']}/{found['path']}"
    return f"{name}@{found['digest']}" if found["digest"] else f"{name}:{found['tag'] or 'latest'}"


def build_image(name: str, data: Mapping[str, Any], base: Path, where: Where) -> ImageSpec:
    """The spec of image ``name``; ``base`` is the folder of the declaring file.

    :raises InputError: an environment variable in a path is not set any more.
    """
    built = "ref" not in data and "base" not in data
    return ImageSpec(
        name=name,
        where=where,
        ref=normalized(data["ref"]) if "ref" in data else None,
        context=expand_path(data.get("context", "."), base) if built else None,
        containerfile=expand_path(data["containerfile"], base) if "containerfile" in data else None,
        build_args=dict(data.get("build_args", {})),
        target=data.get("target"),
        base=data.get("base"),
        layers=tuple(data.get("layers", data.get("layer", ()))),
        user=data.get("user", "root"),
        skip_incompatible=data.get("skip_incompatible", False),
        bootc=data.get("bootc"),
        pull=Pull(data.get("pull", "missing")),
        tls_verify=data.get("tls_verify", True),
    )


def image_of(vm: VmSpec, project: Project) -> ImageSpec:
    """The image that a bootc VM is made from: a declared one, or the full reference in ``source.image``.

    :raises InputError: it is neither; the hint lists similar names.
    """
    assert isinstance(vm.source, BootcSource)
    text = vm.source.image
    declared = project.images.get(text)
    if declared is not None:
        return declared
    if not is_full(text):
        hint = near_names(text, project.images) or "declare it in image.yml, or write a full reference: quay.io/…"
        raise InputError(f"source.image: no image '{text}' is declared", hint=hint, where=vm.where)
    if problem := reference_error(text):
        raise InputError(f"source.image {shown(text)}: {problem[0]}", hint=problem[1], where=vm.where)
    return ImageSpec(name=text, where=vm.where, ref=normalized(text))


def near_names(word: str, names: Mapping[str, object]) -> str | None:
    """A hint with the names that resemble ``word``, else with all names; None if there are no names."""
    if hint := did_you_mean(word, names, cutoff=0.5):
        return hint
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"declared are {', '.join([*names][:8])}{more}" if names else None


def image_rules(images: Sequence[DeclaredImage], vms: Sequence[DeclaredVm]) -> tuple[list[InputError], tuple[str, ...]]:
    """Every violation, and the names of the environment variables that the images' paths use."""
    errors = [error for image in images for rule in RULES for error in rule(image)]
    named = {image.name: image for image in images}
    errors += [*base_rules(named), *vm_rules(named, vms)]
    used = {name for i in images for key in PATH_KEYS if (text := i.text(key)) for name in variables(text)}
    return errors, tuple(sorted(used))


def name_rule(image: DeclaredImage) -> Iterator[InputError]:
    """A name must suit ``localhost/<name>`` and a task."""
    name = image.name
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return
    at_name = image.path == ("image",)
    lower = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_NAME].strip("-")
    hint = NAME_RULE + (f"; for example '{lower}'" if lower and lower != name else "")
    path = ("name",) if at_name else ()
    yield image.error(f"{shown(name)} is not an image name", *path, hint=hint, key=not at_name)


def origin_rule(image: DeclaredImage) -> Iterator[InputError]:
    """An image either exists under a reference or is built here: one of the two."""
    data = image.mapping()
    if "ref" in data:
        for key in (*BUILD_KEYS, *LAYER_KEYS):
            if key in data:
                hint = "a ref is pulled, a containerfile or a base is built from: remove one of the two"
                yield image.error(f"'{key}' contradicts ref in image '{image.name}'", key, key=True, hint=hint)
    elif "base" in data:
        for key in BUILD_KEYS:
            if key in data:
                hint = "layers go into a base, a containerfile says FROM: remove one of the two"
                yield image.error(f"'{key}' contradicts base in image '{image.name}'", key, key=True, hint=hint)
        if {"layers", "layer"} <= data.keys():
            yield image.error(f"layers of image '{image.name}' stand there twice", "layer", key=True, hint="layers:")
    elif is_foreign(image):
        return  # base_rules and vm_rules speak up when somebody needs it
    elif isinstance(image.data, dict) and not {"containerfile", "context"} & data.keys():
        message = f"image '{image.name}' has neither ref nor containerfile nor base"
        hint = "ref: quay.io/fedora/fedora-bootc:42, or containerfile: Containerfile, or base: with layers:"
        yield image.error(message, key=True, hint=hint)
    else:
        for key in LAYER_KEYS:
            if key in data:
                yield image.error(
                    f"'{key}' needs base in image '{image.name}'", key, key=True, hint="base: a reference"
                )


def is_foreign(image: DeclaredImage) -> bool:
    """Whether another program builds the image, in a way that ov does not have (``from: builder:pacstrap``)."""
    return "from" in image.mapping() and not {"ref", "base", "containerfile", "context"} & image.mapping().keys()


def foreign_error(image: DeclaredImage) -> InputError:
    """The error for who needs such an image. As long as nobody does, it is nobody's."""
    how = f"from: {image.get('from')}"
    hint = f"build it by other means and write ref: localhost/{image.name}, or name another image"
    message = f"image '{image.name}' is built by `{how}`, which ov does not do"
    return InputError(message, hint=hint, where=image.where("from", key=True))


def chain_of(name: str | None, images: Mapping[str, DeclaredImage]) -> list[DeclaredImage]:
    """The declared image ``name`` and those that it is built from, the first one first; empty if there is none."""
    found: dict[str, DeclaredImage] = {}
    while name is not None and name in images and name not in found:
        found[name] = images[name]
        name = images[name].text("base")
    return [*reversed(found.values())]


def ref_rule(image: DeclaredImage) -> Iterator[InputError]:
    """The reference is well-formed and names its registry."""
    text = image.text("ref")
    if text is not None and (problem := reference_error(text)):
        yield image.error(f"ref {shown(text)}: {problem[0]}", "ref", hint=problem[1])


def path_rule(image: DeclaredImage) -> Iterator[InputError]:
    """``~`` and ``${VAR}`` can be expanded. Whether the files exist turns out when they are used."""
    for key in PATH_KEYS:
        try:
            expand(image.text(key) or "")
        except InputError as e:
            yield image.error(f"{key}: {e.message}", key, hint=e.hint)


def argument_rule(image: DeclaredImage) -> Iterator[InputError]:
    """Names of build arguments are such that podman can split them from their values."""
    for name in image.mapping("build_args"):
        if not _ARGUMENT.fullmatch(name):
            hint = "letters, digits and _, as in ARG"
            yield image.error(
                f"{shown(name)} is not a valid build argument name", "build_args", name, key=True, hint=hint
            )


RULES: tuple[Callable[[DeclaredImage], Iterator[InputError]], ...] = (
    name_rule,
    origin_rule,
    ref_rule,
    path_rule,
    argument_rule,
)


def base_rules(images: Mapping[str, DeclaredImage]) -> Iterator[InputError]:
    """The base of layers is a declared image, or a reference; a reference is checked when the image is built."""
    for image in images.values():
        base = image.text("base")
        if base is not None and base not in images and not is_full(base):
            hint = near_names(base, images) or "declare it in image.yml, or write a full reference: quay.io/…"
            yield image.error(f"base: no image '{base}' is declared", "base", hint=hint)


def vm_rules(images: Mapping[str, DeclaredImage], vms: Sequence[DeclaredVm]) -> Iterator[InputError]:
    """A bootc VM is made from a bootc image, and ``image:<name>`` is not ambiguous."""
    for vm in vms:
        if vm.text("source", "kind") != "bootc" or (vm.text("source", "transport") or "registry") not in REFERENCES:
            continue  # for the other transports, source.image is a path
        named = images.get(vm.text("source", "image") or "")
        if named is not None and named.get("bootc") is False:
            hint = f"bootc: false stands at {named.where('bootc')}; name a bootc image"
            yield vm.error(f"source.image {named.name} is not a bootc image", "source", "image", hint=hint)
        for one in chain_of(named.name if named is not None else None, images):
            if is_foreign(one):
                problem = foreign_error(one)
                message = f"source.image {vm.text('source', 'image')}: {problem.message}"
                yield vm.error(message, "source", "image", hint=problem.hint)
        same = images.get(vm.name)
        if same is not None and same is not named:
            message = f"image '{same.name}' has the name of a VM that is made from another image"
            hint = f"the VM is at {vm.where(key=True)}; image:{same.name} would mean both"
            yield same.error(message, key=True, hint=hint)

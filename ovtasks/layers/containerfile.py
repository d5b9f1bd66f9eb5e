"""Plans → the steps of a containerfile, and the files of its context. Pure: the caller writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.layers.plan import LayerPlan
from ovtasks.layers.script import image_script, to_stage
from ovtasks.values.jsonvalue import digest

MOUNT = "/run/ovtasks-layer"
"""Where a step sees its folder of the context. podman makes it, and it is not part of the image."""
CONTAINERFILE = "Containerfile"
TOKEN = "ovtasks:"


@dataclass(frozen=True)
class LayeredContext:
    """What podman builds: ``files`` by their path in the context; :data:`CONTAINERFILE` is one of them."""

    files: Mapping[str, bytes | Path]


def layered_context(base: str, plans: Sequence[LayerPlan], *, user: str) -> LayeredContext:
    """The build that puts ``plans`` into the image ``base``, one step a layer.

    ``user`` is whom the image's containers run as: the steps run as root, so it is set again at the end.

    podman's cache does not look into what is mounted, so each step names the digest of its files.
    """
    files: dict[str, bytes | Path] = {}
    lines = [f"FROM {base}", "USER root"]
    for number, plan in enumerate(plans, 1):
        folder = f"{number:02}-{plan.name}"
        own = dict(_files(plan))
        files |= {f"{folder}/{name}": content for name, content in own.items()}
        mount = f"--mount=type=bind,source={folder},target={MOUNT},ro"
        words = ["/bin/sh", f"{MOUNT}/script", _digest(plan, own["script"])]
        lines.append(f"RUN {mount} {json.dumps(words)}")
    if user not in {"", "root", "0"}:
        lines.append(f"USER {user}")
    files[CONTAINERFILE] = ("\n".join(lines) + "\n").encode()
    return LayeredContext(files)


def _files(plan: LayerPlan) -> Iterator[tuple[str, bytes | Path]]:
    """A layer's folder in the context: its script, and the uploads that are too big for it."""
    staged = {}
    for upload in to_stage([plan]).values():
        name = upload.digest.removeprefix("sha256:")
        staged[upload.digest] = f"{MOUNT}/{name}"
        yield name, upload.content
    yield "script", image_script(plan, TOKEN, staged)


def _digest(plan: LayerPlan, script: bytes | Path) -> str:
    """Names a step's files; the script names its uploads by their digests."""
    assert isinstance(script, bytes)
    return digest([plan.name, script.decode(errors="backslashreplace")])

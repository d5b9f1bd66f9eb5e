"""What the bootc inside an image is and can do: asked once for each image ID, and remembered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers.engine import Engine
from ovtasks.containers.scratch import LABEL
from ovtasks.containers.trouble import explain
from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError
from ovtasks.host.state import recall
from ovtasks.sources.bootc.command import offered

RECIPE = 1
SECONDS = 120.0
SCRIPT = """command -v bootc >/dev/null || exit 90
echo "version $(bootc --version)"
if command -v cloud-init >/dev/null; then echo cloud-init; fi
exec bootc install to-disk --help
"""
_NO_BOOTC = 90


@dataclass(frozen=True)
class Installer:
    """``version`` as it says it; ``options`` of ``install to-disk``; ``cloud_init``: the image has that, too."""

    version: str
    options: frozenset[str]
    cloud_init: bool


def ask(engine: Engine, image: str, image_id: str, state: Path, where: Where) -> Installer:
    """Run the image once without any right. It also proves that containers run at all, before minutes of work.

    :raises InputError: it has no bootc. :raises OvError: containers do not run here.
    """
    memory = state / "bootc" / f"{image_id[:32]}.json"
    if (known := _remembered(memory)) is not None:
        return known
    label = ["--label", f"{LABEL}=probe"]
    try:
        done = engine.run(
            "run", "--rm", "--network=none", *label, "--entrypoint", "sh", image, "-c", SCRIPT, timeout=SECONDS
        )
    except CommandError as e:
        if e.returncode == _NO_BOOTC or "executable file `sh` not found" in e.stderr:
            hint = "build it FROM a bootc base image (quay.io/fedora/fedora-bootc, …), or use source.kind cloud_image"
            raise InputError(f"the image {image} has no bootc: it cannot install itself", hint=hint, where=where) from e
        raise explain(e, "containers do not run") from e
    first, _, rest = done.stdout.partition("\n")
    found = Installer(first.removeprefix("version "), offered(rest), rest.startswith("cloud-init\n"))
    if "--via-loopback" not in found.options:
        raise OvError(f"{found.version} cannot install to a file", hint="build the image from a newer base")
    data = {
        "recipe": RECIPE,
        "version": found.version,
        "options": sorted(found.options),
        "cloud_init": found.cloud_init,
    }
    write_atomic(memory, json.dumps(data))
    return found


def _remembered(memory: Path) -> Installer | None:
    data = recall(memory) or {}
    version, options, cloud_init = (data.get(key) for key in ("version", "options", "cloud_init"))
    if data.get("recipe") != RECIPE or not isinstance(options, list):
        return None
    if not (isinstance(version, str) and isinstance(cloud_init, bool)):
        return None
    return Installer(version, frozenset(map(str, options)), cloud_init)

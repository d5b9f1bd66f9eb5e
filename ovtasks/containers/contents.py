"""Looks into an image for what matters to a machine: the version of bootc, and the kernels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine
from ovtasks.errors import OvError
from ovtasks.host.run import CommandError

SECONDS = 120.0
SCRIPT = """command -v bootc >/dev/null && echo "bootc $(bootc --version)"
cd /usr/lib/modules 2>/dev/null && for release in *; do [ -d "$release" ] && echo "kernel $release"; done
true
"""
_NO_SHELL = re.compile(r"executable file .*not found|exec: \"?sh\"?|no such file or directory")


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found. ``bootc`` is the version that bootc prints, None if it is missing; ``kernels`` are releases."""

    bootc: str | None
    kernels: tuple[str, ...]


def contents(engine: Engine, image_id: str) -> Contents:
    """Look into the image with its own shell, without network or rights. An image without a shell has neither.

    :raises OvError: containers do not run on this host.
    """
    words = ["run", "--rm", "--pull=never", "--network=none", "--entrypoint", "sh", image_id, "-c", SCRIPT]
    try:
        lines = engine.run(*words, timeout=SECONDS).stdout.splitlines()
    except CommandError as e:
        if _NO_SHELL.search(e.stderr):
            return Contents(None, ())
        explained: OvError = diagnose(e, "the image cannot be inspected")
        raise explained from e
    found = [line.partition(" ") for line in lines]
    versions = [rest for word, _, rest in found if word == "bootc"]
    return Contents(versions[0] if versions else None, tuple(rest for word, _, rest in found if word == "kernel"))

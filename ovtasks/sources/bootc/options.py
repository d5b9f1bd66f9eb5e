"""The options of the command line for bootc builds and for podman."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.containers.transports import TRANSPORTS
from ovtasks.errors import InputError
from ovtasks.graph.options import LOCKED, REFRESH, disk_size
from ovtasks.sources.console import CONSOLE
from ovtasks.values.option import Option


def _transport(text: str) -> str:
    if text not in TRANSPORTS:
        raise InputError(f"unknown transport {text!r}", hint=f"one of: {', '.join(TRANSPORTS)}")
    return text


ROOT_SIZE: Option[int | None] = Option("root-size", disk_size, None, "bootc: size of the root partition")
TRANSPORT: Option[str | None] = Option("transport", _transport, None, "bootc: how the image is read", (*TRANSPORTS,))

OF_IMAGES: tuple[Option[object], ...] = (
    replace(REFRESH, help="ask the registry for newer images"),
    replace(LOCKED, help="fail unless digests are named"),
    replace(CONSOLE, help="show podman's output"),
)
"""The options of the goals ``image:<name>``."""

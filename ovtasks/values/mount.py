"""A folder of the host that a guest mounts, as `mounts:` says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    """A folder of the host, and where the guest sees it. ``transport``: virtiofs, 9p, or auto, the best that works."""

    source: Path
    target: str
    read_only: bool = False
    transport: str = "auto"

"""A folder of the host that a guest mounts, as `mounts:` says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SSHFS = "sshfs"


@dataclass(frozen=True)
class Mount:
    """A folder of the host, and where the guest sees it. ``transport``: virtiofs, 9p, sshfs, or auto, the first that
    works."""

    source: Path
    target: str
    read_only: bool = False
    transport: str = "auto"

"""Files that probes make where the user says."""

from __future__ import annotations

from pathlib import Path

from ovtasks.host.files import write_atomic
from ovtasks.host.oserrors import explaining


def save(path: Path, data: bytes) -> None:
    """Write a file as a whole, and the folders above it that are missing.

    :raises OvError: it cannot be written.
    """
    with explaining(f"cannot write {path}", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)

"""Folders that only their owner can enter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ovtasks.host.oserrors import explaining


def make_private(folders: Iterable[Path]) -> None:
    """Create the folders that are missing, 0700. Existing ones stay as they are.

    :raises OvError: one cannot be created.
    """
    for folder in folders:
        with explaining(f"cannot make the folder {folder}", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

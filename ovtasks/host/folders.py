"""Folders that are for their owner alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ovtasks.host.oserrors import explaining


def make_private(folders: Iterable[Path]) -> None:
    """Create those that are not there, for their owner alone; others stay as they are.

    :raises OvError: one cannot be made.
    """
    for folder in folders:
        with explaining(f"cannot make the folder {folder}", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

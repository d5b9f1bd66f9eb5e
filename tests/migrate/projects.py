"""Projects of other versions, as files, and what ``ov migrate`` makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ovtasks.migrate.run import KINDS, migrated
from tests.support.projects import write


def make(folder: Path, files: Mapping[str, str]) -> Path:
    """Write these files."""
    for name, text in files.items():
        write(folder, text, name)
    return folder


def result(folder: Path, *kinds: str) -> dict[str, str]:
    """The files that a migration changes, by name. None: all migrations, in the order of the command."""
    wanted = list(kinds) or ["names", *(kind for kind in KINDS if kind != "names")]
    texts = migrated(folder, wanted)
    return {str(path.relative_to(folder)): data.decode() for path, data in texts.changed().items()}


def settled(folder: Path, *kinds: str) -> dict[str, str]:
    """Like :func:`result`; written, and a second migration changes nothing."""
    found = result(folder, *kinds)
    for name, text in found.items():
        write(folder, text, name)
    assert result(folder, *kinds) == {}
    return found

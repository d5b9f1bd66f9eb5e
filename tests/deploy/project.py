"""A project that the tests of this room are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import write


def enter(folder: Path, vms: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project with one layer, ``tools``, and folders of its own; go there. ``vms`` is its vms.yml."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(folder.parent / name))
    write(folder, vms)
    write(folder, "tasks: [{mkdir: /srv/a}]\n", "layers/tools/layer.yml")
    monkeypatch.chdir(folder)
    return folder

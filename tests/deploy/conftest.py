"""The guest that deployments go to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.deploy import reach
from tests.deploy.guest import Guest, new_guest


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Guest]:
    """A running VM ``web``, and a project for layers."""
    monkeypatch.setattr(reach, "READY_SECONDS", 20.0)
    with new_guest(tmp_path, monkeypatch, capsys) as found:
        yield found

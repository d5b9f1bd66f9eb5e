"""Folders of sockets at places of the spec's choice."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.host.folders import make_private


def test_new_folders_are_private_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    make_private([tmp_path / "old", tmp_path / "new"])
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        OvError, match=r"cannot make the folder .*/file/x: a file is where a directory should be"
    ) as caught:
        make_private([tmp_path / "file" / "x"])
    assert caught.value.hint

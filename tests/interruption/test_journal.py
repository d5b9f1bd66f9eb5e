"""What is undone from a run's journal, and what is not any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.processes import serve


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder, as if it were another's."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv(leftovers.VARIABLE, str(folder))
    return folder


def test_files_are_as_before(run: Path, tmp_path: Path) -> None:
    edited, new, opened, mine = (tmp_path / name for name in ("edited", "new", "opened", "mine"))
    for path in (edited, opened, mine):
        path.write_text("before")
        path.chmod(0o640)
    for path in (edited, new, mine):
        leftovers.note_file(path)
    leftovers.note_mode(opened)
    for path in (edited, new, opened, mine):
        path.write_text("after")
        path.chmod(0o666)
    leftovers.done(mine)
    said = leftovers.undo(run)
    assert (edited.read_text(), edited.stat().st_mode & 0o777) == ("before", 0o640)
    assert not new.exists()
    assert (opened.read_text(), opened.stat().st_mode & 0o777) == ("after", 0o640)
    assert (mine.read_text(), mine.stat().st_mode & 0o777) == ("after", 0o666)
    assert said == [f"mode {opened}", f"absent {new}", f"file {edited}"]
    assert not run.exists()


def test_processes_and_folders_go(run: Path, tmp_path: Path) -> None:
    with leftovers.folder("held-", tmp_path) as held:
        named = serve("sh", "-c", "sleep 300; :", held)
        heir = serve("sleep", "300")
        stranger = serve("sleep", "300", env={})
        try:
            said = leftovers.undo(run)
            assert {"process", "folder"} == {line.split()[0] for line in said}
            assert (named.wait(5), heir.wait(5), stranger.poll()) == (-9, -9, None)
            assert not held.exists()
        finally:
            stranger.kill()
            stranger.wait()


def test_another_run_whose_folder_begins_alike_is_spared(run: Path, tmp_path: Path) -> None:
    """pytest counts: pytest-1 and pytest-12 are two runs."""
    leftovers.note("place", tmp_path / "pytest-1")
    words = ("sh", "-c", "sleep 300; :")
    mine = serve(*words, tmp_path / "pytest-1/popen-gw0", env={})
    others = [serve(*words, tmp_path / f"{name}/popen-gw0", env={}) for name in ("pytest-12", "pytest-1.old")]
    try:
        leftovers.undo(run)
        assert (mine.wait(5), *(one.poll() for one in others)) == (-9, None, None)
    finally:
        for one in others:
            one.kill()
            one.wait()


def test_a_line_cut_by_a_kill_is_passed_over(run: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    (run / "journal").write_text(
        json.dumps({"kind": "folder", "name": str(left)}) + '\n{"kind": "fol', encoding="utf-8"
    )
    assert leftovers.undo(run) == [f"folder {left}"]
    assert not left.exists()

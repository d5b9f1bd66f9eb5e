"""``ov migrate`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.cli.main import run

VMS = "vms:\n  a: {source: {kind: bootstrap}, disk_size: 2G, cpu: 1}  # one\n"
OURS = VMS.replace("cpu:", "cpus:")
DIFF = f"--- a/vms.yml\n+++ b/vms.yml\n@@ -1,2 +1,2 @@\n vms:\n-{VMS.splitlines()[1]}\n+{OURS.splitlines()[1]}\n"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "vms.yml").write_text(VMS)
    return ["-C", str(tmp_path / "p"), "migrate"]


def test_dry_run_writes_nothing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "names", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out == DIFF and "1 file would change" in said.err
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["vms.yml"]


def test_migrate_keeps_a_backup_and_is_done_once(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--all"]) == 0
    assert capsys.readouterr().out == DIFF and (tmp_path / "p" / "vms.yml").read_text() == OURS
    (backup,) = (tmp_path / "p").glob("ov-backup-*")
    assert (backup / "vms.yml").read_text() == VMS
    assert run(words) == 0
    said = capsys.readouterr()
    assert said.out == "" and "nothing to migrate" in said.err
    assert list((tmp_path / "p").glob("ov-backup-*")) == [backup]


def test_output_leaves_the_project(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--output", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "vms.yml").read_text() == OURS and (tmp_path / "p" / "vms.yml").read_text() == VMS
    assert run([*words, "--output", str(tmp_path / "new")]) == 3
    assert "the folder is not empty" in capsys.readouterr().err


def test_colours_on_a_terminal_only(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run([*words, "--dry-run"]) == 0
    assert f"\033[32m+{OURS.splitlines()[1]}\033[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out == DIFF


def test_one_wrong_file_stops_all(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p" / "deploy.yml").write_text("deploy:\n  x: {add_layer: [], add_layers: []}\n")
    assert run(words) == 2
    assert "deploy.yml:2:22: 'add_layers' and 'add_layer' mean the same" in capsys.readouterr().err
    assert (tmp_path / "p" / "vms.yml").read_text() == VMS

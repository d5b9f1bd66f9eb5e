"""Step logs: what the programs of a step's last run said, for their owner alone, without secrets."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.graph.step import Step
from ovtasks.graph.step_log import log_file, logged
from ovtasks.host.progress import SilentProgress
from ovtasks.host.run import CommandError, run
from ovtasks.values.hidden import Hidden
from tests.support.workbench import Workbench, cloud_vm

SECRET = "correct horse"


def a_step(folder: Path) -> Step:
    inputs = {"token": Hidden({"deep": [SECRET, "no"]})}
    return Step("disk:a", inputs, (folder / "disk",), lambda ws: None, "Make the disk")


def say(code: str) -> None:
    run([sys.executable, "-c", code])


def test_a_log_has_command_lines_words_and_times(tmp_path: Path) -> None:
    path = tmp_path / "log" / "disk.log"
    with logged(path, a_step(tmp_path), SilentProgress()) as log:
        log.note("a note")
        say("import sys; sys.stdout.write('1 %\\r2 %\\r3 %\\n\\x1b[31mred\\x1b[0m\\nend'); sys.stderr.write('woe\\n')")
        say(f"print('{SECRET} no https://me:pw@example.org/x')")
    say("print('unheard')")
    text = path.read_text()
    first, *lines = text.splitlines()
    assert first.startswith("disk:a  Make the disk  20") and lines[0] == "# a note"
    assert {"3 %", "red", "end", "woe"} <= {*lines} and "1 %" not in lines and "unheard" not in text
    assert text.count(" s] $ ") == 2 and text.count("ended with status 0 after") == 2 and lines[-1].endswith(" s] done")
    assert SECRET not in text and "(secret) no https://***@example.org/x" in lines
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with logged(path, a_step(tmp_path), SilentProgress()):
        pass
    assert " $ " not in path.read_text()  # of the last run alone


def test_an_error_names_the_log_of_programs(tmp_path: Path) -> None:
    path = tmp_path / "disk.log"
    with pytest.raises(CommandError) as failed, logged(path, a_step(tmp_path), SilentProgress()):
        say("import sys; sys.exit('no space')")
    assert str(failed.value).endswith(f"\n  log: {path}")
    assert "no space" in path.read_text() and "failed: " in path.read_text()
    with pytest.raises(OvError) as silent, logged(path, a_step(tmp_path), SilentProgress()):
        raise OvError("the checksum differs")
    assert silent.value.log is None and "failed: the checksum differs" in path.read_text()
    with pytest.raises(KeyboardInterrupt), logged(path, a_step(tmp_path), SilentProgress()):
        raise KeyboardInterrupt
    assert path.read_text().endswith("stopped\n")


def test_a_program_that_says_too_much_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovtasks.graph.step_log.MAX_BYTES", 5000)
    path = tmp_path / "disk.log"
    with logged(path, a_step(tmp_path), SilentProgress()):
        say("for i in range(9000): print('word')")
    text = path.read_text()
    assert len(text) < 6000 and text.endswith("(what comes now is left out)\n")


def test_names() -> None:
    output = Path("output")
    assert log_file(output, "disk:a") == output / "a/log/disk.log"
    assert log_file(output, "disk:a:raw") == output / "a/log/disk-raw.log"
    assert log_file(output, "fetch:@12ab") == output / ".ov/log/fetch@12ab.log"


def test_a_build_keeps_the_last_log_and_clean_removes_it(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    bench.ov("vm", "build", "a")
    log = bench.root / "output/a/log/disk.log"
    first = log.read_text()
    assert " $ " in first and "qemu-img" in first
    assert [*(bench.root / "output/.ov/log").glob("fetch@*.log")]
    assert "nothing to do" in bench.ov("vm", "build", "a").stderr
    assert log.read_text() == first
    assert '"log' not in (bench.root / "output/a/qcow2/disk.qcow2.receipt.json").read_text()
    bench.write({"a": cloud_vm(small_image, disk_size="2G")})
    bench.doit("build:a")
    assert log.read_text() != first
    bench.doit("clean", "build:a")
    assert not (bench.root / "output/a").exists()


def test_a_link_in_the_logs_place_is_refused(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    (bench.root / "output/a").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bench.root / "output/a/log").symlink_to(elsewhere)
    assert "symbolic link" in bench.ov("vm", "build", "a", code=3).stderr
    assert not [*elsewhere.iterdir()]

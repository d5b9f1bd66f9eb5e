"""Any standard stream closed, full or unread, any locale: the command does its work or says in one message why not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Ended, attempt
from tests.support.workbench import DODO, OV, Workbench, cloud_vm, make_image

HELPS = ["--help", "vm --help", "vm build --help", "--version"]
READS = ["plan a", "why disk:a", "validate", "gc --dry-run", "graph a", "settings list", "plan a --json"]
PLAIN = {"PYTHONIOENCODING": "latin-1"}
NO_LOCALE = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """One VM that is built, and whose disk would grow by the next build."""
    base = tmp_path_factory.mktemp("streams")
    root = base / "project"
    root.mkdir()
    (root / "dodo.py").write_text(DODO, encoding="utf-8")
    make_image(base / "image.qcow2")
    bench = Workbench(root, {f"XDG_{name}_HOME": str(base / name.lower()) for name in ("CACHE", "DATA", "CONFIG")})
    bench.write({"a": cloud_vm(base / "image.qcow2")})
    bench.ov("vm", "build", "a")
    bench.write({"a": cloud_vm(base / "image.qcow2", disk_size="2G")})
    yield bench
    bench.settle()


def shell(bench: Workbench, words: str, redirection: str, **env: str) -> Ended:
    """``ov WORDS`` with a shell's redirection."""
    script = f'exec "$@" {words} {redirection}'
    return attempt("sh", "-c", script, "sh", *OV, cwd=bench.root, env={**bench.environment, **env}, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize("words", ["vm build a --size 1G", "plan a", "vm list -a"])
def test_closed_streams_change_nothing(bench: Workbench, words: str, closed: str) -> None:
    done = shell(bench, words, closed)
    assert done.returncode == 0, done
    assert "Traceback" not in done.stderr
    if "1>&-" not in closed:
        assert done.stdout == shell(bench, words, "2>/dev/null").stdout


def test_a_closed_stream_does_not_send_messages_into_a_file(bench: Workbench, tmp_path: Path) -> None:
    """The number of a closed stderr goes to the next file that is opened: a receipt, an image."""
    shell(bench, "vm build a --size 3G", "2>&-")
    for path in (bench.root / "output").rglob("*.receipt.json"):
        json.loads(path.read_bytes())
    bench.ov("vm", "build", "a", "--size", "1G")


@pytest.mark.slow
@pytest.mark.parametrize("words", [*READS, *HELPS])
def test_a_full_stdout_is_one_message(bench: Workbench, words: str) -> None:
    for buffered in ("", "1"):
        done = shell(bench, words, ">/dev/full", PYTHONUNBUFFERED=buffered)
        assert done.returncode == 1, done
        assert "disk is full" in done.stderr
        assert done.stderr.count("ov: ") == 1
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_full_stdout_fails_a_build_with_nothing_to_do(bench: Workbench) -> None:
    bench.ov("vm", "build", "a", "--size", "1G")
    done = shell(bench, "vm build a --size 1G", ">/dev/full", PYTHONUNBUFFERED="")
    assert done.returncode == 1
    assert "the output cannot be written: the disk is full" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [*READS, *HELPS])
def test_a_reader_that_ends_early_is_no_error_to_talk_about(bench: Workbench, words: str) -> None:
    done = shell(bench, words, "| true")
    assert done.stderr == "" or "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr and "Broken pipe" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("env", [PLAIN, NO_LOCALE, {"PYTHONIOENCODING": "ascii"}], ids=["latin-1", "posix", "ascii"])
@pytest.mark.parametrize("words", READS)
def test_any_locale_prints_what_it_can(bench: Workbench, words: str, env: dict[str, str]) -> None:
    done = shell(bench, words, "", **env)
    wide = shell(bench, words, "")
    assert (done.returncode, len(done.stdout.splitlines())) == (wide.returncode, len(wide.stdout.splitlines()))
    assert "Traceback" not in done.stderr


def test_arrows_are_drawn_in_plain_letters(bench: Workbench) -> None:
    assert "disk_size: 1G -> 2G" in shell(bench, "plan a", "", **PLAIN).stdout
    assert "disk_size: 1G → 2G" in shell(bench, "plan a", "").stdout


def test_json_says_the_same_in_every_locale(bench: Workbench) -> None:
    def plan(**locale: str) -> object:
        return json.loads(re.sub(r'("age_seconds": )\d+', r"\1 0", shell(bench, "plan a --json", "", **locale).stdout))

    wide = plan()
    assert plan(**PLAIN) == wide
    assert "→" in json.dumps(wide, ensure_ascii=False)


def test_file_names_come_out_as_their_bytes(tmp_path: Path) -> None:
    """A folder whose name is no UTF-8: what is printed can be used as a path."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    root.mkdir()
    make_image(tmp_path / "image.qcow2")
    bench = Workbench(root)
    bench.write({"a": cloud_vm(tmp_path / "image.qcow2")})
    done = shell(bench, "vm build a", "")
    assert done.returncode == 0, done
    assert [(root / line).is_file() for line in done.stdout.splitlines()] == [True, True]
    assert "caf\udce9" in shell(bench, "why disk:a", "").stdout


def test_a_file_name_that_a_locale_has_no_bytes_for(bench: Workbench) -> None:
    """Without any locale a path in vms.yml cannot even be looked for."""
    text = (bench.root / "vms.yml").read_text(encoding="utf-8")
    (bench.root / "vms.yml").write_text(text.replace("image.qcow2", "изображение.qcow2"), encoding="utf-8")
    try:
        done = shell(bench, "vm build a --refresh", "", **NO_LOCALE)
    finally:
        (bench.root / "vms.yml").write_text(text, encoding="utf-8")
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr + done.stdout
    assert "UTF-8" in done.stderr or "no such file" in done.stderr.lower()


@pytest.mark.parametrize(
    ("words", "code"),
    [("vm list -a", 0), ("plan a", 0), ("vm status a", 2), ("vm nothing", 2), ("vm build a --size 4G", 0), ("list", 0)],
)
def test_a_full_stderr_costs_messages_alone(bench: Workbench, words: str, code: int) -> None:
    done = shell(bench, words, "2>/dev/full")
    assert done.returncode == code, done
    assert done.stdout == shell(bench, words, "2>/dev/null").stdout
    assert shell(bench, words, ">/dev/full 2>/dev/full").returncode in {code, 1}

"""What a user may write wrong on the command line of probes, or in a check: one message, a hint, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.errors import InputError
from ovtasks.instance.record import Record
from ovtasks.probes.checks import asker
from ovtasks.probes.method import duration, size, whole
from ovtasks.probes.spice_methods import place_of
from ovtasks.values.jsonvalue import Json


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record("web", tmp_path, "u", "m", "qemu", "now", tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("spice status web --wait nan", "'nan' is not a number of seconds"),
        ("spice status web --wait -1", "--wait: '-1' is not a number of seconds"),
        ("spice status web --wait soon", "'soon' is not a length of time"),
        ("spice status web --wait 1e999", "'1e999' is not a number of seconds"),
        ("spice click web -1 2", "x: '-1' is not a whole number"),
        ("spice click web left 2", "'left' is not a whole number"),
        ("spice click web 99999999999 2", "0 to 2147483647"),
        ("libvirt screenshot web --screen -1", "'-1' is not a whole number"),
        ("libvirt send-key web a --hold long", "'long' is not a whole number"),
        ("libvirt guest fstrim web --minimum lots", "'lots' is not a number of bytes"),
        ("libvirt guest exec web --wait", "expected one argument"),
        ("libvirt info web --format yaml", "invalid choice: 'yaml'"),
        ("libvirt gest ping web", "invalid choice: 'gest'"),
        ("libvirt info \N{GRINNING FACE}", "there is no VM \N{GRINNING FACE}"),
        ("live web", "no vms.yml in"),
    ],
)
def test_words(
    words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["eval", *words.split()]) == 2
    said = capsys.readouterr()
    assert told in said.err and not said.out
    assert "hint: " in said.err or said.err.startswith("usage: ")


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("0.5", 0.5), ("5s", 5), ("2m", 120), ("0", 0), (" 7S ", 7)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_numbers() -> None:
    assert (whole("0"), whole("2147483647"), size(str((1 << 63) - 1))) == (0, 2147483647, (1 << 63) - 1)
    for text in ("", "1.5", "٣x", "2147483648"):
        with pytest.raises(InputError, match="not a whole number"):
            whole(text)


@pytest.mark.parametrize("address", ["somewhere", "host:", ":5900", "host:0", "host:65536", "host:99999", "a:b:5900x"])
def test_addresses(address: str, record: Record) -> None:
    with pytest.raises(InputError, match="is not a HOST:PORT") as caught:
        place_of(record, {"address": address})
    assert caught.value.hint == "as in 127.0.0.1:5900"


def test_files_of_passwords(record: Record, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, told in (("none", "No such file"), ("binary", "not text in UTF-8"), ("", "Is a directory")):
        with pytest.raises(InputError, match=told):
            place_of(record, {"socket": "/s", "password_file": str(tmp_path / name)})
    (tmp_path / "good").write_text("a b\n")
    assert place_of(record, {"socket": "/s", "password_file": str(tmp_path / "good")}).password == "a b"
    assert place_of(record, {"socket": "/s", "password": "c d"}).password == "c d"


@pytest.mark.parametrize(
    ("verb", "method", "data", "status", "told"),
    [
        ("spice", "click", {"x": "left", "y": 1}, "2", "'left' is not a whole number"),
        ("libvirt", "guest/exec", {"command": "sh -c 'x"}, "2", "is not a command: no closing quotation"),
        ("libvirt", "qmp", {"text": "x", "input": "{"}, "2", "not JSON"),
        ("libvirt", "qmp", {"text": "x", "input": [1]}, "2", "are an object"),
        ("libvirt", "passwd", {"text": "x" * 61}, "2", "the password has 61 bytes"),
        ("libvirt", "snapshot/info", {"target": "none"}, "2", "has no snapshot none"),
    ],
)
def test_checks(record: Record, verb: str, method: str, data: dict[str, Json], status: str, told: str) -> None:
    facts = asker(record)(verb, method, data, 5.0)
    assert (facts["status"].decode(), told in facts["stderr"].decode()) == (status, True), facts


def test_checks_change_no_snapshots(record: Record) -> None:
    facts = asker(record)("libvirt", "snapshot/delete", {"target": "x"}, 5.0)
    assert b"ov vm snapshot does that" in facts["cannot"]

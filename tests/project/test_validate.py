"""``ov validate``: text and JSON, all errors, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.cli.main import parser
from ovtasks.errors import EXIT_DONE, EXIT_INPUT, InputError
from ovtasks.errors.catalogue import find
from tests.support.projects import CLOUD, write

GOOD = f"vms: {{a: {{source: {CLOUD}}}}}"
BAD = f"vms:\n  a: {{source: {CLOUD}, disksize: 2G}}\n  b: {{source: {CLOUD}, ram: 1x}}\n"


def run(directory: Path, *words: str) -> int:
    args = parser().parse_args(["-C", str(directory), "validate", *words])
    return int(args.run(args))


def _column(line: int, word: str) -> int:
    return BAD.splitlines()[line - 1].index(word) + 1


def test_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "below").mkdir()
    assert run(tmp_path / "below") == EXIT_DONE
    assert capsys.readouterr().out == "1 VM valid\n"
    assert run(tmp_path, "--json") == EXIT_DONE
    assert json.loads(capsys.readouterr().out) == {"valid": True, "errors": [], "vms": ["a"], "images": []}
    assert [path.name for path in tmp_path.iterdir() if path.name != "below"] == ["vms.yml"]  # it only reads


def test_layers_are_checked_and_what_a_vm_ignores_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "ports: [80]\nvolumes: []\n", "layers/one/layer.yml")
    two = write(tmp_path, "layer:\n  name: two\n", "layers/two/layer.yml")
    assert run(tmp_path) == EXIT_DONE
    assert capsys.readouterr().out == "1 VM, 2 layers valid\n"
    assert run(tmp_path, "-v") == EXIT_DONE
    note, summary = capsys.readouterr().out.splitlines()
    assert note.endswith("layers/one/layer.yml:1:1: only containers have this, a VM ignores it: ports, volumes")
    assert summary == "1 VM, 2 layers valid"
    assert run(tmp_path, "--json") == EXIT_DONE
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers == {"one": {"ignored": ["ports", "volumes"]}, "two": {"ignored": []}}
    write(tmp_path, "layer:\n  name: too\n", "layers/two/layer.yml")
    for words in ([], [str(two)]):
        assert run(tmp_path, *words) == EXIT_INPUT
        assert "layer.yml:2:9: the layer calls itself 'too'" in capsys.readouterr().err


def test_all_errors_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, BAD)
    assert run(tmp_path) == EXIT_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"vms.yml:2:{_column(2, 'disksize')}: unknown key 'disksize' in vms.a",
        "  hint: did you mean 'disk_size'?",
        f"vms.yml:3:{_column(3, '1x')}: ram: '1x' is not a size",
        "  hint: write a size as 20G, 10 GiB, 8192M, 1.5G or 2T",
        "2 errors",
    ]


def test_all_errors_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, BAD)
    assert run(tmp_path, "--json") == EXIT_INPUT
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert (report["valid"], report["vms"]) == (False, ["a", "b"])
    assert [error["line"] for error in report["errors"]] == [2, 3]
    assert report["errors"][0] == {
        "file": str(path),
        "line": 2,
        "column": _column(2, "disksize"),
        "message": "unknown key 'disksize' in vms.a",
        "hint": "did you mean 'disk_size'?",
        "id": _id("unknown key 'disksize' in vms.a"),
    }


def test_errors_are_told_with_their_ids_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, BAD)
    assert run(tmp_path, "-v") == EXIT_INPUT
    ids = [_id("unknown key 'disksize' in vms.a"), _id("ram: '1x' is not a size")]
    assert f"  see: ov explain {' '.join(ids)}" in capsys.readouterr().err.splitlines()


def _id(message: str) -> str:
    row = find(message)
    assert row is not None
    return row.id


def test_a_path_may_be_a_file_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "p", GOOD)
    write(tmp_path / "p", BAD, "other.yml")
    assert run(tmp_path, "p") == EXIT_DONE
    assert run(tmp_path, "p/vms.yml") == EXIT_DONE
    assert run(tmp_path, "p/other.yml") == EXIT_INPUT
    assert "2 errors" in capsys.readouterr().err


def test_no_project_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no vms\.yml in"):
        run(tmp_path)
    with pytest.raises(InputError, match="does not exist") as caught:
        run(tmp_path, "gone.yml")
    assert caught.value.hint == "name a file or a project's folder"

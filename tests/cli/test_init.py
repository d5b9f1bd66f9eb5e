"""``ov init``: every template is a valid project, and nothing that is there is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.cli.init import OTHERS
from ovtasks.cli.main import run as main
from ovtasks.project.load import load_project
from ovtasks.project.official import official_images
from tests.support.programs import call
from tests.support.workbench import DOIT

NAMES = (*OTHERS, *(one.name for one in official_images() if "aarch64" in one.arches), "debian")


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("template", NAMES)
def test_a_template_is_a_valid_project(template: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(tmp_path / "p"), "init", template]) == 0
    said = capfd.readouterr().err
    written = texts(tmp_path / "p")
    assert main(["-C", str(tmp_path / "p"), "validate"]) == 0
    checked = capfd.readouterr()
    assert "note:" not in checked.out + checked.err
    for vm in load_project(tmp_path / "p", cache=False).vms:
        assert f"ov vm create {vm} && " in said
    for name in {"vms.yml", "image.yml"} & {*written}:
        schema = written[name].splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        assert (tmp_path / "p" / schema).is_file()
    assert main(["-C", str(tmp_path / "p"), "init", template]) == 0
    assert "nothing to write" in capfd.readouterr().err
    assert texts(tmp_path / "p").keys() - written.keys() <= {name for name in texts(tmp_path / "p") if "output" in name}


def test_doit_knows_the_vms(tmp_path: Path) -> None:
    assert main(["-C", str(tmp_path), "-q", "init"]) == 0
    assert "build:debian" in call(*DOIT, "list", "--all", cwd=tmp_path).stdout


@pytest.mark.parametrize("there", ["vms.yml", "overthink.yml", "Containerfile", "image.yml"])
def test_nothing_is_overwritten(there: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / there).write_text("mine\n", encoding="utf-8")
    assert main(["-C", str(tmp_path), "init", "bootc"]) == 2
    assert f"{there} is there already" in capfd.readouterr().err
    assert texts(tmp_path) == {there: "mine\n"}


def test_a_dodo_of_ones_own_stays(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text("mine = 1\n", encoding="utf-8")
    assert main(["-C", str(tmp_path), "-q", "init", "ci"]) == 0
    assert texts(tmp_path)["dodo.py"] == "mine = 1\n"
    (tmp_path / ".github/workflows/vm.yml").unlink()  # as after an interruption
    assert main(["-C", str(tmp_path), "-q", "init", "ci"]) == 0
    assert "ov vm build ci --locked" in texts(tmp_path)[".github/workflows/vm.yml"]


def test_unknown_templates(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for word, near in (
        ("clutser", "did you mean 'cluster'?"),
        ("fedroa", "did you mean 'fedora'"),
        ("zz", "ov images"),
    ):
        assert main(["-C", str(tmp_path), "init", word]) == 2
        said = capfd.readouterr().err
        assert f"no template is named '{word}'" in said and near in said and "bootc, cluster, ci" in said
    assert texts(tmp_path) == {}

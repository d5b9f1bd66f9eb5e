"""The pages below docs/: their commands exist, the files that they show are valid, and the site is built."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.cli.main import parser, split_rest
from ovtasks.cli.main import run as main
from tests.support.checkout import ROOT, environment, run

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACES = {"vms": "vms.yml", "images": "image.yml", "deploy": "deploy.yml", "layer": "layers/notes/layer.yml"}
"""Where the block with this tag stands in a project."""


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each ``ov`` command in the page's blocks for a shell."""
    for language, _, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in {"sh", "bash"}:
            for line in text.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["ov"]:
                    yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_ours(page: Path) -> None:
    top = parser()
    for words in commands(page):
        if not {"-h", "--help"} & {*words}:
            top.parse_args(split_rest(words)[0])  # ends with 2 when a word is not known


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_s_files_are_valid(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [page] if "```yaml vms" in page.read_text(encoding="utf-8") else [DOCS / "tutorials" / "vm.md", page]
    for one in pages:
        for language, tag, text in FENCE.findall(one.read_text(encoding="utf-8")):
            if language == "yaml" and tag:
                place = tmp_path / PLACES[tag]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
            elif language == "dockerfile":
                (tmp_path / "Containerfile").write_text(text, encoding="utf-8")
    assert main(["-C", str(tmp_path), "validate"]) == 0
    said = capsys.readouterr()
    assert "note:" not in said.out + said.err


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """mkdocs is strict: a page outside the navigation, a link or an anchor to nothing are errors."""
    site = tmp_path / "site"
    env = environment(NO_MKDOCS_2_WARNING="1", DISABLE_MKDOCS_2_WARNING="true")
    done = run(sys.executable, "-m", "mkdocs", "build", "-q", "-d", site, cwd=ROOT, env=env)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for page in ("index.html", "tutorials/vm/index.html", "CHANGELOG/index.html"):
        text = (site / page).read_text(encoding="utf-8")
        assert "<h1" in text and "```" not in text

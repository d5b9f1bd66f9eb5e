"""``ov vm edit``: where the editor opens, and what is said of the edit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.cli.edit import editor_words
from ovtasks.errors import Where
from tests.support.workbench import Workbench, cloud_vm

VM = {"ram": "128M", "cpus": 1, "ssh": {"user": "tester", "key_source": "generate"}}


@pytest.mark.parametrize(
    ("editor", "words"),
    [
        ("vim", "vim +3 a b.yml"),
        ("/usr/bin/nano -w", "/usr/bin/nano -w +3 a b.yml"),
        ("code", "code --wait --goto a b.yml:3"),
        ("code -w", "code -w --goto a b.yml:3"),
        ("hx", "hx a b.yml:3"),
        ("other --fast", "other --fast a b.yml"),
    ],
)
def test_the_editors_words(editor: str, words: str) -> None:
    assert " ".join(editor_words(editor.split(), Where("a b.yml", 3, 5))) == words


def editor(bench: Workbench, old: str, new: str) -> None:
    """An editor called vi that keeps its words and changes the file."""
    path = bench.root / "bin" / "vi"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" > {bench.root}/words\nsed -i "s/{old}/{new}/" "$2"\n')
    path.chmod(0o755)
    bench.env["VISUAL"] = str(path)


@pytest.mark.slow
def test_an_edit(bench: Workbench, empty_image: Path) -> None:
    bench.write({"other": cloud_vm(empty_image, **VM), "web": cloud_vm(empty_image, **VM)})
    bench.ov("vm", "create", "--no-start", "web")
    lines = (bench.root / "vms.yml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if '"web"' in text)
    bench.env |= {"VISUAL": "", "EDITOR": ""}
    assert bench.ov("vm", "edit", "web").stdout == f"vms.yml:{line}\n"
    assert "'web'" in bench.ov("vm", "edit", "wbe", code=2).stderr

    editor(bench, "128M", "192M")
    said = bench.ov("vm", "edit", "web").stdout
    assert (bench.root / "words").read_text() == f"+{line} vms.yml\n"
    assert "nothing to do" in said and "ov vm create web: definition differs" in said
    assert json.loads(bench.ov("vm", "edit", "web", "--json").stdout)["instances"] == [
        {"words": "web", "changes": ["definition differs"], "running": False}
    ]

    editor(bench, "192M", "1M")
    wrong = bench.ov("vm", "edit", "web", code=2).stderr
    ram = next(number for number, text in enumerate(lines, 1) if number > line and '"ram"' in text)
    assert f"ov: vms.yml:{ram}:" in wrong and "ram of 1M is too small: at least 32M" in wrong
    editor(bench, '"1M"', '"128M"')
    assert "ov vm create web: nothing to do" in bench.ov("vm", "edit", "web").stdout
    assert (bench.root / "words").read_text() == f"+{ram} vms.yml\n", "at the mistake"

    (bench.root / "bin/vi").write_text("#!/bin/sh\nexit 3\n")
    assert "ended with 3" in bench.ov("vm", "edit", "web", code=1).stderr

"""A bootc VM of an image that is a base with layers: from the layer's file to the VM's disk, and again when one is
edited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.disk import aleph, cat
from tests.bootc.install import STANDIN
from tests.bootc.leftovers import Before
from tests.bootc.room import Room
from tests.support.programs import qemu_img
from tests.support.workbench import ran

pytestmark = pytest.mark.slow
BASE = "layer: {name: base, vars: {PLACE: /usr/share/base}, tasks: [{mkdir: $PLACE}]}\n"
TOOLS = """
layer:
  name: tools
  requires: [base]
  env: {EDITOR: micro}
  tasks:
    - {write: /usr/share/base/mark, content: "ONE\\n"}
    - {cmd: 'cat /usr/share/base/mark /usr/share/base/mark >/usr/share/base/twice'}
"""


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Bench:
    made = make_bench(tmp_path / "project", room)
    layer(made, "base", BASE)
    layer(made, "tools", TOOLS)
    declared = {"image": {"os": {"base": STANDIN, "layers": ["tools"], "bootc": True}}}
    (made.root / "image.yml").write_text(json.dumps(declared), encoding="utf-8")
    made.write({"web": bootc_vm("os")})
    return made


def layer(bench: Bench, name: str, text: str) -> None:
    folder = bench.root / "layers" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layer.yml").write_text(text, encoding="utf-8")


def build(bench: Bench) -> list[str]:
    """Build the VM; returns the verbs of the steps that ran."""
    return [step.split(":")[0] for step in ran(bench.ov("vm", "build", "web").stderr)]


def in_disk(bench: Bench, folder: Path) -> str:
    """What the layer's command has made, in the installed system."""
    raw = folder / "disk.raw"
    qemu_img("convert", "-O", "raw", bench.disk, raw)
    system = f"/ostree/deploy/default/deploy/{aleph(raw)['digest'].removeprefix('sha256:')}.0"
    return cat(raw, f"{system}/usr/share/base/twice") or cat(raw, "/usr/share/base/twice")


def test_an_edited_layer_makes_image_and_disk_anew(bench: Bench, tmp_path: Path) -> None:
    assert build(bench)[-3:] == ["image", "install", "convert"]
    assert in_disk(bench, tmp_path) == "ONE\nONE\n"
    assert build(bench) == []
    layer(bench, "tools", f"# another comment{TOOLS}")
    assert build(bench) == []

    layer(bench, "tools", TOOLS.replace("ONE", "TWO"))
    said = json.dumps(bench.reasons("web"))
    assert "tools" in said and "layer base" not in said, said
    why = bench.ov("why", "image:os").stdout
    assert "tools" in why and "content.base" not in why, why
    assert build(bench) == ["image", "install", "convert"]
    assert in_disk(bench, tmp_path) == "TWO\nTWO\n"
    assert build(bench) == []
    assert bench.leftovers() == []

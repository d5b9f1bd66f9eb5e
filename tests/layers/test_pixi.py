"""``pixi.toml`` and ``Cargo.toml`` beside a layer: what is built, what undo leaves, what is skipped."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.layers.events import What
from ovtasks.layers.plan import LayerPlan
from tests.layers.builders import CARGO, PIXI, Built
from tests.support.layers import FACTS, plan, print_of
from tests.support.programs import attempt

MANIFEST = '[workspace]\nname = "x"\nplatforms = ["linux-64", "linux-aarch64"]\n[dependencies]\n{} = "*"\n'


def said(program: Path) -> str:
    """What a program of an environment prints."""
    return attempt(program).stdout.strip()


def test_environments_of_two_layers(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI)
    before = print_of(guest.home)
    shown = guest.home / ".pixi/envs/default"
    one = guest.layer("one", pixi__toml=MANIFEST.format("tool"))
    two = guest.layer("two", pixi__toml=MANIFEST.format("other"), pixi__lock="lock")
    assert guest.shell.apply(one, two) == [(What.DONE, "build the environment of pixi.toml")] * 2
    work = guest.home / ".local/share/ovtasks/pixi"
    assert guest.log("pixi") == [
        f"pixi install --manifest-path {work}/one/pixi.toml",
        f"pixi install --manifest-path {work}/two/pixi.toml --frozen",
    ]
    assert (said(shown / "bin/tool"), said(shown / "bin/other")) == ("tool of one", "other of two")
    assert said(shown / "bin/python") == "python of two"  # the later layer's
    assert (shown / "etc").resolve() == work / "two/.pixi/envs/default/etc"
    assert not (work / "one/.cache").exists()
    assert {what for what, _ in guest.shell.apply(one, two)} == {What.SAME}
    assert guest.seen("one") == guest.seen("two") == [What.SO]
    assert not guest.log("pixi")
    guest.shell.undo("two")
    assert said(shown / "bin/python") == "python of one" and not (shown / "bin/other").is_symlink()
    guest.shell.undo("one")
    assert print_of(guest.home) == before


def test_an_edited_manifest_is_built_anew(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI)
    guest.shell.apply(guest.layer(pixi__toml=MANIFEST.format("tool")))
    told = guest.shell.apply(guest.layer(pixi__toml=MANIFEST.format("other")))
    assert [what for what, _ in told] == [What.UNDONE, What.DONE]
    assert {path.name for path in (guest.home / ".pixi/envs/default/bin").iterdir()} == {"python", "other"}
    shutil.rmtree(guest.home / ".pixi/envs/default")
    assert guest.seen() == [What.DIFFERS]


def test_build_sh_runs_with_the_environment(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI)
    layer = guest.layer(
        pixi__toml=MANIFEST.format("tool"),
        build__sh='python >said\n~/.pixi/envs/default/bin/tool >>said\ntouch "${BASH_SOURCE%/given/*}/.pixi/envs/'
        'default/bin/made"\n'.replace("~", str(guest.home)),
    )
    assert "build.sh" in layer.operations[0].caveat
    guest.shell.apply(layer)
    assert (guest.home / "said").read_text() == "python of a\ntool of a\n"
    assert (guest.home / ".pixi/envs/default/bin/made").exists()


def test_other_manifests(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI)
    guest.shell.apply(guest.layer("yml", environment__yml="dependencies: [python]\n"))
    assert guest.log("pixi")[0].startswith("pixi init --import /")
    project = '[project]\nname = "x"\n[tool.pixi.workspace]\nplatforms = ["linux-64", "linux-aarch64"]\n'
    guest.shell.apply(guest.layer("py", pyproject__toml=project))
    assert guest.log("pixi")[0].endswith("/py/pyproject.toml")
    assert not guest.layer("none", pyproject__toml='[project]\nname = "x"\n').operations


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI)
    (guest.home / ".pixi/envs/default/bin").mkdir(parents=True)
    before = print_of(guest.home)
    with pytest.raises(OvError):
        guest.shell.apply(guest.layer(pixi__toml=MANIFEST.format("tool")))
    assert any("not from a layer: move it away" in line for line in guest.shell.output())
    assert print_of(guest.home) == before


def test_a_manifest_for_other_machines_is_skipped(tmp_path: Path) -> None:
    text = MANIFEST.format("tool").replace(', "linux-aarch64"', "")

    def made(arch: str) -> LayerPlan:
        return plan(tmp_path, "name: a\n", facts=replace(FACTS, arch=arch), pixi__toml=text)

    assert [one.why for one in made("aarch64").skipped] == ["its platforms are linux-64, and not linux-aarch64"]
    assert [one.kind for one in made("aarch64").operations] == ["environment"]
    assert [one.kind for one in made("x86_64").operations] == ["environment", "pixi"]
    with pytest.raises(InputError, match="is not TOML"):
        plan(tmp_path, "name: a\n", pixi__toml="[")


CRATE = {"Cargo__toml": '[package]\nname = "tool"\nversion = "0.1.0"\n'}


def crate(guest: Built, source: str, **files: str) -> LayerPlan:
    """A layer with a crate."""
    for place in ("src", "target"):
        (guest.folder / "layers/a" / place).mkdir(parents=True, exist_ok=True)
    (guest.folder / "layers/a/src/main.rs").write_text(source)
    (guest.folder / "layers/a/target/big").write_text("not uploaded")
    return guest.layer(**CRATE, **files)


def test_a_crate(tmp_path: Path) -> None:
    guest = Built(tmp_path, cargo=CARGO)
    before = print_of(guest.home)
    layer = crate(guest, "#!/bin/sh\necho tool\n", Cargo__lock="")
    assert {one.name for one in layer.operations[0].uploads} == {
        *("crate/Cargo.lock", "crate/Cargo.toml", "crate/layer.yml", "crate/src/main.rs")
    }
    guest.shell.apply(layer)
    assert "--locked" in guest.log("cargo")[0]
    assert said(guest.home / ".cargo/bin/tool") == "tool"
    assert guest.shell.apply(layer)[0][0] is What.SAME and guest.seen() == [What.SO]
    (guest.home / ".cargo/bin/tool").unlink()
    assert guest.seen() == [What.DIFFERS]
    guest.shell.apply(layer)
    guest.shell.undo("a")
    assert print_of(guest.home) == before


def test_a_crate_beside_others(tmp_path: Path) -> None:
    guest = Built(tmp_path, cargo=CARGO)
    (guest.home / ".cargo/bin").mkdir(parents=True)
    (guest.home / ".cargo/bin/mine").write_text("mine")
    (guest.home / ".cargo/.crates.toml").write_text("mine\n")
    before = print_of(guest.home, times=False)
    guest.shell.apply(crate(guest, "#!/bin/sh\n"))
    guest.shell.undo("a")
    assert print_of(guest.home, times=False) == before


def test_in_an_image(tmp_path: Path) -> None:
    guest = Built(tmp_path, pixi=PIXI, cargo=CARGO)
    guest.in_image(guest.layer("x", pixi__toml=MANIFEST.format("tool")))
    assert said(guest.home / ".pixi/envs/default/bin/tool") == "tool of x"
    guest.in_image(crate(guest, "#!/bin/sh\n"))
    assert (guest.home / ".cargo/bin/tool").exists()


def test_programs_are_in_path(tmp_path: Path) -> None:
    """For commands of the layer, and for every login."""
    layer = plan(
        tmp_path,
        "name: a\ntasks: [{cmd: tool}]\n",
        pixi__toml=MANIFEST.format("x"),
        package__json="{}",
        Cargo__toml=CRATE["Cargo__toml"],
    )
    (environment,) = (one for one in layer.operations if one.kind == "environment")
    (command,) = (one for one in layer.operations if one.kind == "cmd")
    for folder in (".npm-global/bin", ".pixi/envs/default/bin", ".cargo/bin"):
        assert f"{FACTS.home}/{folder}" in environment.do
        content = command.uploads[0].content
        assert isinstance(content, bytes) and f"$HOME/{folder}".encode() in content


def test_a_crate_without_a_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no package with a name"):
        plan(tmp_path, "name: a\n", Cargo__toml="[workspace]\n")

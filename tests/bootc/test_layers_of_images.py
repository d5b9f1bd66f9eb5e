"""What an image build cannot give to layers: said before podman runs, at the place in the layer's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import InputError, OvError, Where
from ovtasks.graph.step import BuildOptions
from ovtasks.guest.connection import Finished
from ovtasks.layers.probe import probe
from ovtasks.project.load import load_project
from ovtasks.project.model import ImageSpec
from ovtasks.sources.bootc.image import image_steps
from ovtasks.sources.bootc.layered import ImageShell
from tests.support.programs import attempt


def steps_with(folder: Path, layer: str, **image: object) -> None:
    """Make the steps of an image with this layer."""
    (folder / "layers/a").mkdir(parents=True, exist_ok=True)
    (folder / "layers/a/layer.yml").write_text(layer)
    (folder / "vms.yml").write_text("vms: {}\n")
    declared = {"base": "localhost/b", "layers": ["a"], **image}
    (folder / "image.yml").write_text(json.dumps({"image": {"x": declared}}))
    project = load_project(folder, cache=False)
    image_steps(project.images["x"], project, BuildOptions())


@pytest.mark.parametrize(
    ("layer", "said", "column"),
    [
        ("name: a\nsecret_requires: [{name: TOKEN}]\n", "the secret TOKEN of layer a", 19),
        ("name: a\nsecrets: [{name: key, env: KEY}]\n", "the secret KEY of layer a", 11),
        ("name: a\nenv_requires: [{name: HOST}]\n", "the variable HOST of layer a", 16),
    ],
)
def test_what_no_image_has(tmp_path: Path, layer: str, said: str, column: int) -> None:
    with pytest.raises(InputError) as caught:
        steps_with(tmp_path, layer)
    error = caught.value
    assert error.message.startswith(f"image 'x': {said}: ") and "ov deploy add" in str(error.hint)
    assert error.where == Where(str(tmp_path / "layers/a/layer.yml"), 2, column)
    steps_with(tmp_path, layer, skip_incompatible=True)


def test_what_an_image_can_do_without(tmp_path: Path) -> None:
    steps_with(tmp_path, "name: a\nsecret_accepts: [{name: TOKEN}]\nenv_requires: [{name: HOST, default: here}]\n")


def test_a_system_without_id() -> None:
    class Poor:
        def run(self, script: str) -> Finished:
            done = attempt("sh", "-c", f"PATH=/nowhere\ncat() {{ echo ID=poor; }}\n{script}")
            return Finished(done.returncode, done.stdout.encode(), done.stderr.encode())

    with pytest.raises(OvError, match="does not say who its user is"):
        probe(Poor())


@pytest.mark.parametrize("status", [125, 126, 127])
def test_a_base_without_the_account(tmp_path: Path, status: int) -> None:
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\necho 'Error: no user ada' >&2\nexit {status}\n")
    podman.chmod(0o755)
    place = Where("image.yml", 3, 5)
    shell = ImageShell(Engine(Mode.ROOTLESS, (str(podman),)), "base", ImageSpec("x", place, user="ada"))
    with pytest.raises(OvError, match=r"image 'x': .* as ada in the base: Error: no user ada") as caught:
        probe(shell)
    assert caught.value.where == place and caught.value.hint is not None

"""The change matrix of ``source:``: change one field, and exactly the steps that it decides have other inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.graph.step import BuildOptions
from ovtasks.project.load import load_project
from ovtasks.project.schema import source_schema
from ovtasks.sources.bootc import Bootc

BASE: dict[str, Any] = {"kind": "bootc", "image": "quay.io/example/os:1"}
CHANGES: dict[str, tuple[Any, set[str]]] = {
    "kind": ("bootc", set()),  # another kind is another chain
    "image": ("quay.io/example/os:2", {"image"}),  # what is installed then has another ID
    "transport": ("containers-storage", {"image"}),
    "rootfs": ("xfs", {"install"}),
    "root_size": ("10G", {"install"}),
    "kernel_args": ("quiet", {"install"}),
    "target_imgref": ("quay.io/example/os:stable", {"install"}),
    "bootloader": ("systemd", {"install"}),
    "composefs": (True, {"install"}),
    "base_user": ("core", set()),
    "distro": ("fedora", set()),
}


def inputs(folder: Path, source: dict[str, Any]) -> dict[str, tuple[str, Mapping[str, object]]]:
    data = {"vms": {"a": {"source": source, "disk_size": "20G", "ssh": {"key_source": "none"}}}}
    (folder / "vms.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    project = load_project(folder, cache=False)
    steps = Bootc().steps(project.vms["a"], project, BuildOptions())
    return {step.verb: (step.name, step.inputs) for step in steps}


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_decides_its_steps(tmp_path: Path, field: str) -> None:
    value, wanted = CHANGES[field]
    old, new = inputs(tmp_path, BASE), inputs(tmp_path, {**BASE, field: value})
    assert {verb for verb in old | new if old.get(verb) != new.get(verb)} == wanted
    assert inputs(tmp_path, BASE) == old, "and back"


def test_every_field_is_tried() -> None:
    assert CHANGES.keys() == source_schema("bootc")["properties"].keys()


def test_nothing_chosen_changes_no_inputs(tmp_path: Path) -> None:
    """Disks that were installed before there was a choice stay fresh."""
    assert inputs(tmp_path, {**BASE, "composefs": "auto"}) == inputs(tmp_path, BASE)
    _, known = inputs(tmp_path, BASE)["install"]
    assert not {"bootloader", "composefs"} & {*known}

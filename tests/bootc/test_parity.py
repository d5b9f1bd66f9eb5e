"""Every field of a VM does for a bootc VM what it does for a cloud image: in its machine, its seed, its build."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.backends.contract import backend
from ovtasks.graph.options import TYPES
from ovtasks.graph.step import BuildOptions
from ovtasks.instance.assemble import assemble, guest_hostname, wanted_ports
from ovtasks.instance.record import new_record
from ovtasks.project.load import load_project
from ovtasks.project.model import Project
from ovtasks.seed.cloud_init import SeedInput, render
from ovtasks.sources.bootc import Bootc
from ovtasks.sources.cloud_image import CloudImage
from tests.support.fields import MODES, VALUES, put

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 me"
CLOUD: dict[str, Any] = {"kind": "cloud_image", "url": "https://example.org/a.qcow2", "base_user": "core"}
BOOTC: dict[str, Any] = {"kind": "bootc", "image": "quay.io/example/os:1", "base_user": "core"}
# Roles of steps: what makes the disk has another name.
ROLES = {"install": "disk", "convert": "disk"}
# What only one kind has by its nature.
OWN = {"ssh.key_injection.install"}
VALUE = {**VALUES, **MODES, "ssh.key_source": "{key}", "backend": "qemu"}


def effects(project: Project) -> dict[str, object]:
    """Everything that VM ``a`` comes to, by name."""
    vm = project.vms["a"]
    record = new_record("a", None, project.root, "qemu", None, vm.network.mac)
    record = dataclasses.replace(record, instance_id="ov-1", created="")
    machine = assemble(vm, record, backend("qemu"), vm.network.port_forwards, [KEY])
    found: dict[str, object] = {f"machine.{f.name}": getattr(machine, f.name) for f in dataclasses.fields(machine)}
    found["ports"] = [dataclasses.replace(want, where=None) for want in wanted_ports(vm, None)]
    found["user"] = vm.ssh.user
    found["backend"] = vm.backend
    for name, content in render(SeedInput(vm, "ov-1", guest_hostname(vm, None), (KEY,))).items():
        found[f"seed.{name}"] = content
    source = Bootc() if vm.source.kind == "bootc" else CloudImage()
    for type in TYPES:
        for step in source.steps(vm, project, BuildOptions(type)):
            role = f"build.{ROLES.get(step.verb, step.verb)}"
            found[role] = (found.get(role), sorted(step.inputs.items(), key=str))
    return found


def changed(folder: Path, source: Mapping[str, Any], field: str) -> set[str]:
    """What is another one when ``field`` has another value."""
    for shared in ("s", "src"):
        (folder / shared).mkdir(exist_ok=True)
    values = VALUE[field]
    base: dict[str, Any] = {"source": source, "disk_size": "4G", "cloud_init": {}, "ssh": {"key_source": "none"}}
    if "[]" in field:
        base = put(base, field.partition("[]")[0], VALUES[field.partition("[]")[0]])
    if field == "ssh.key_source":
        values = str(folder / "key.pub")
        Path(values).write_text(KEY, encoding="utf-8")
    other = {**base, "network": values} if field in MODES else put(base, field, values)
    found = []
    for data in (base, other):
        (folder / "vms.yml").write_text(yaml.safe_dump({"vms": {"a": data}}), encoding="utf-8")
        found.append(effects(load_project(folder, cache=False)))
    old, new = found
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


@pytest.mark.parametrize("field", sorted(VALUE.keys() - OWN))
def test_a_field_does_the_same_for_both(tmp_path: Path, field: str) -> None:
    cloud = changed(tmp_path, CLOUD, field)
    assert changed(tmp_path, BOOTC, field) == cloud

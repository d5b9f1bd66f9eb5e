"""Errors found long after the file was read still name its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.load import load_project
from ovtasks.project.locate import locate, located
from ovtasks.project.model import VmSpec
from tests.support.projects import CLOUD, place, write

BLOCK = f"""source: {CLOUD}
    libvirt:
      devices:
        video:
          - model: vga
          - vram: 1
            model: vga
"""
SHAPES = {
    "vms": ("vms:\n  a:\n    ", 7, 13),
    "vm": ("vm:\n  a:\n    ", 7, 13),
    "second document": (f"vms: {{b: {{source: {CLOUD}}}}}\n---\nvms:\n  a:\n    ", 9, 13),
}


def _vm(folder: Path, head: str) -> VmSpec:
    write(folder, head + BLOCK)
    return load_project(folder, cache=False).vms["a"]


@pytest.mark.parametrize("name", ["vms", "vm", "second document"])
def test_place_of_a_value(name: str, tmp_path: Path) -> None:
    head, line, column = SHAPES[name]
    vm = _vm(tmp_path, head)
    where = locate(vm, ("libvirt", "devices", "video", 1, "vram"))
    assert (Path(where.file).name, where.line, where.column) == ("vms.yml", line + 1, column + 6)


def test_a_single_vm_with_its_name_inside(tmp_path: Path) -> None:
    write(tmp_path, f"vm:\n  name: a\n  source: {CLOUD}\n  libvirt: {{iothreads: 2}}\n")
    where = locate(load_project(tmp_path, cache=False).vms["a"], ("libvirt", "iothreads"))
    assert (where.line, where.column) == (4, 24)


def test_what_is_not_there_is_the_place_around_it(tmp_path: Path) -> None:
    vm = _vm(tmp_path, SHAPES["vms"][0])
    where = locate(vm, ("libvirt", "devices", "video", 1, "heads"))
    assert (where.line, where.column) == (8, 13)


def test_a_file_that_is_gone_or_new(tmp_path: Path) -> None:
    vm = _vm(tmp_path, SHAPES["vms"][0])
    write(tmp_path, "vms: [")
    assert locate(vm, ("libvirt",)) == vm.where
    write(tmp_path, "\n\nvms: {}")
    assert locate(vm, ("libvirt",)) == vm.where
    (tmp_path / "vms.yml").unlink()
    assert locate(vm, ("libvirt",)) == vm.where


def test_errors_get_their_place(tmp_path: Path) -> None:
    vm = _vm(tmp_path, SHAPES["vms"][0])
    field = ("libvirt", "devices", "video", 0, "model")
    with pytest.raises(InputError, match=r"vms\.yml:7:20: no such card") as caught, located(vm):
        raise InputError("no such card", field=field)
    assert place(caught.value) == ("vms.yml", 7, 20)
    with pytest.raises(InputErrors, match=r"(?s)vms\.yml:7:20: one.*vms\.yml:5:7: two") as several, located(vm):
        raise InputErrors([InputError("one", field=field), InputError("two", field=("libvirt",))])
    assert [one.where is not None for one in several.value.errors] == [True, True]


def test_errors_with_a_place_or_without_a_field_stay(tmp_path: Path) -> None:
    vm = _vm(tmp_path, SHAPES["vms"][0])
    here = Where("x", 1, 2)
    with pytest.raises(InputError) as caught, located(vm):
        raise InputError("a", where=here, field=("ram",))
    assert caught.value.where == here
    with pytest.raises(InputError) as caught, located(vm):
        raise InputError("a")
    assert caught.value.where is None

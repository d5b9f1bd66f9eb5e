"""The table of architectures: every name finds its row, and nobody keeps a table of his own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ovtasks.host.packages import PACKAGES
from ovtasks.values.arch import ARCHES, Arch, arch_of, slow_features

PACKAGE = Path(__file__).parents[2] / "ovtasks"
NAMES = {name for arch in ARCHES for name in (arch.name, arch.debian, arch.oci, arch.removable)}
OWN = {
    "host/firmware_tables.py": "where distributions put firmware: paths, not names of architectures",
    "layers/kinds/pixi.py": "conda's names of platforms",
    "sources/bootstrap/recipe.py": "Debian's names of packages with a kernel",
}


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_a_row(arch: Arch) -> None:
    assert arch_of(arch.name) is arch_of(arch.debian) is arch_of(arch.name.upper()) is arch
    assert arch.bios != arch.uefi_only
    assert arch.removable == f"BOOT{arch.efi.upper()}.EFI"
    assert arch.firmware is None or arch.firmware in PACKAGES


@pytest.mark.parametrize("column", ["name", "qemu", "debian", "oci", "efi", "coff", "root_type"])
def test_a_name_is_one_architectures(column: str) -> None:
    assert len({getattr(arch, column) for arch in ARCHES}) == len(ARCHES)


def test_an_unknown_one_keeps_its_name() -> None:
    known = arch_of("s390x")
    assert (known.name, known.qemu, known.debian, known.oci, known.machine) == (*["s390x"] * 4, "virt")
    assert not known.bios and not known.uefi_only and known.removable == ""


def test_what_emulation_switches_off() -> None:
    assert slow_features("x86_64", "tcg") == ("la57",)
    assert slow_features("x86_64", "kvm") == slow_features("aarch64", "tcg") == ()


def test_nobody_keeps_a_table_of_his_own() -> None:
    """A mapping or a set of two architectures is one."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.Set) else []
            if len({word.value for word in words if isinstance(word, ast.Constant)} & NAMES) > 1:
                found.add(str(path.relative_to(PACKAGE)))
    assert found == OWN.keys()

"""The rules of the house that a machine can check: floors, imports, sizes, subprocesses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ovtasks"
FLOORS = [
    {"errors", "hidden", "jsonvalue", "__init__"},
    {"host", "spec"},
    {"render", "images", "containers"},
    {"graph"},
    {"instance", "guest"},
    {"sources", "backends"},
    {"cli"},
]
HEAVY = {"requests", "paramiko", "libvirt", "pycdlib", "jsonschema", "sh", "yaml", "rich", "cryptography", "zstandard"}
MODULES = sorted(PACKAGE.rglob("*.py"))
# The package's own entry point names the loader when a dodo.py calls it, not when it is imported.
UPWARD_ON_CALL = {("__init__", "graph")}


def room(module: str) -> str:
    """``graph`` of ``ovtasks.graph.step``; the package itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "ovtasks":
                yield from (f"ovtasks.{alias.name}" for alias in node.names if not alias.name.startswith("__"))


def top_level(tree: ast.Module) -> ast.Module:
    """Without functions, and without what only type checkers read."""
    kept = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    kept = [n for n in kept if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
    return ast.Module(kept, [])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in paths]


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_imports_run_down_the_floors(path: Path) -> None:
    own = room(".".join(("ovtasks", *path.relative_to(PACKAGE).with_suffix("").parts)))
    for module in imports(parsed(path)):
        if module.split(".")[0] == "ovtasks" and (own, room(module)) not in UPWARD_ON_CALL:
            assert floor(room(module)) <= floor(own), f"{path} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(top_level(parsed(path)))} & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_one_idea_a_file_and_a_function(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{path.name}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_subprocesses_go_through_the_gateway(path: Path) -> None:
    if path.relative_to(PACKAGE) in {Path("host/run.py"), Path("host/pipes.py"), Path("host/family.py")}:
        return
    assert "subprocess" not in set(imports(parsed(path)))
    assert "os.system" not in path.read_text(encoding="utf-8")


def test_renderers_do_no_io() -> None:
    for path in (PACKAGE / "render").rglob("*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
        assert not calls & {"open", "print", "input"}, path
        assert not any(
            call.endswith((".read_text", ".read_bytes", ".write_text", ".stat", ".exists")) for call in calls
        )

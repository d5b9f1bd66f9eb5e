"""No function is written twice: two of one shape, alike but for names and constants, are one with parameters."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = 4
"""Of a body. A shorter one says no more than the call that would replace it."""
DECLARES = "_arguments"
"""How names of functions end that hold a command's options: a table in argparse's form."""
ALIKE: dict[frozenset[str], str] = {}
"""Functions that may look alike, and why."""


class Shape(ast.NodeTransformer):
    """Takes the names and constants out, and what only a type checker reads; attributes and calls' keywords stay."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("_", node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(type(node.value).__name__)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg("_")

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Those of a module and of its classes; ``ovtasks/values/arch.py:Arch.removable`` names one."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, ast.FunctionDef) and not inner.name.endswith(DECLARES):
                yield f"{path.relative_to(ROOT)}:{owner}{inner.name}", inner


def body_of(function: ast.FunctionDef) -> list[ast.stmt]:
    """Without the docstring."""
    return function.body[ast.get_docstring(function) is not None :]


def sketch(function: ast.FunctionDef) -> str:
    """Equal in twins, and quickly found."""
    nodes = [node for node in body_of(function) if not isinstance(node, ast.Assign | ast.AnnAssign)]
    kinds = [type(inner).__name__ for node in nodes for inner in (node, *ast.iter_child_nodes(node))]
    return " ".join([*kinds, str(len(body_of(function))), str(len(function.args.args))])


def shape(function: ast.FunctionDef) -> str:
    return "\n".join(ast.dump(Shape().visit(node)) for node in (function.args, *body_of(function)))


def alike(paths: Iterator[Path]) -> Iterator[frozenset[str]]:
    """The names of functions that have one shape, without those that are short."""
    sketches, shapes = defaultdict(list), defaultdict(set)
    for path in paths:
        for name, function in functions(path):
            body = body_of(function)
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= LINES - 1:
                sketches[sketch(function)].append((name, function))
    for group in sketches.values():
        for name, function in group if len(group) > 1 else ():
            shapes[shape(function)].add(name)
    return (frozenset(names) for names in shapes.values() if len(names) > 1)


def test_no_function_is_written_twice() -> None:
    twins = set(alike(path for room in ("ovtasks", "tests", "bench", "docs") for path in (ROOT / room).rglob("*.py")))
    assert twins == ALIKE.keys(), "\n".join(" = ".join(sorted(names)) for names in twins ^ ALIKE.keys())


ONE = """
def one(path: Path, *, limit: int = 3) -> list[str]:
    '''Says what it does.'''
    found: list[str] = []
    for line in path.read_text().splitlines():
        if len(line) > limit:
            found.append(line)
    return found
"""


@pytest.mark.parametrize(
    ("change", "twins"),
    [
        (("one", "other"), True),
        (("found", "kept"), True),
        ((": list[str]", ""), True),
        (("= 3", "= 4"), True),
        ((" >", " <"), False),
        ((".append", ".remove"), False),
        (("*, limit", "limit"), False),
        (("        if len(line) > limit:\n    ", ""), False),
    ],
)
def test_twins_are_found(change: tuple[str, str], twins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "a.py").write_text(ONE)
    (tmp_path / "b.py").write_text(ONE.replace(*change))
    assert bool(list(alike(tmp_path.iterdir()))) is twins
